// Pan by dragging, zoom by the wheel, for a graph in a file of its own.
(function () {
  "use strict";
  var svg = document.documentElement, view = svg.querySelector(".view");
  var x = 0, y = 0, scale = 1, held = null;
  function apply() { view.setAttribute("transform", "translate(" + x + " " + y + ") scale(" + scale + ")"); }
  function point(event) {
    var at = svg.createSVGPoint(); at.x = event.clientX; at.y = event.clientY;
    return at.matrixTransform(svg.getScreenCTM().inverse());
  }
  svg.addEventListener("wheel", function (event) {
    event.preventDefault();
    var at = point(event), to = Math.min(8, Math.max(0.1, scale * Math.exp(-event.deltaY * 0.0015)));
    x = at.x - (at.x - x) * to / scale; y = at.y - (at.y - y) * to / scale; scale = to; apply();
  }, { passive: false });
  svg.addEventListener("pointerdown", function (event) {
    held = point(event); svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", function (event) {
    if (!held) { return; }
    var at = point(event); x += at.x - held.x; y += at.y - held.y; held = at; apply();
  });
  svg.addEventListener("pointerup", function () { held = null; });
  svg.addEventListener("dblclick", function () { x = y = 0; scale = 1; apply(); });
  svg.addEventListener("pointerover", function (event) {
    var box = event.target.closest ? event.target.closest(".n") : null;
    svg.querySelectorAll(".n.on").forEach(function (n) { n.classList.remove("on"); });
    if (!box) { return; }
    var key = box.getAttribute("data-k");
    svg.querySelectorAll(".n").forEach(function (n) {
      if (n.getAttribute("data-k") === key) { n.classList.add("on"); }
    });
  });
})();
