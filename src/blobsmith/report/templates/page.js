(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var graphs = (data.graphs || []).map(function (graph) { return graph.drawing; });
  var card = document.getElementById("card");
  var panels = Array.prototype.map.call(document.querySelectorAll(".panel"), panel);

  // ------------------------------------------------------------ the card of details

  function element(name, text, kind) {
    var made = document.createElement(name);
    if (text !== undefined) { made.textContent = text; }
    if (kind) { made.className = kind; }
    return made;
  }

  function show(head, soft, rows, line, at) {
    card.replaceChildren(element("strong", head), element("span", soft ? "  " + soft : "", "soft"));
    var list = element("dl");
    rows.forEach(function (row) { list.append(element("dt", row[0]), element("dd", row[1])); });
    card.append(list);
    if (line) { card.append(element("div", line, "line mono")); }
    card.classList.add("open");
    var width = card.offsetWidth, height = card.offsetHeight, gap = 14;
    if (window.innerWidth < 640) {
      card.style.left = "12px";
      card.style.top = (window.innerHeight - height - 12) + "px";
      return;
    }
    var x = at.clientX + gap, y = at.clientY + gap;
    if (x + width > window.innerWidth - 8) { x = at.clientX - width - gap; }
    if (y + height > window.innerHeight - 8) { y = window.innerHeight - height - 8; }
    card.style.left = Math.max(8, x) + "px";
    card.style.top = Math.max(8, y) + "px";
  }

  function hide() { card.classList.remove("open"); mark(null); }

  function tensor(item) {
    return item.name + "  " + item.type + (item.value ? " = " + item.value : "");
  }

  function showNode(graph, node, at) {
    var rows = node.inputs.map(function (item) { return [item.constant ? "const" : "in", tensor(item)]; });
    rows = rows.concat(node.outputs.map(function (item) { return ["out", tensor(item)]; }));
    rows = rows.concat(node.attributes || []);
    var change = { "new": "not in the graph before", changed: "changed from the graph before" }[node.change];
    if (change) { rows.push(["", change]); }
    if (node.fate) { rows.push(["", "gone in the next graph"]); }
    show(node.op, node.name !== node.op ? node.name : "", rows, node.line, at);
  }

  // ------------------------------------------------------------ the same node everywhere

  function mark(node) {
    panels.forEach(function (panel) { if (panel) { panel.mark(node); } });
    var outs = node ? node.outputs.map(function (item) { return item.name; }) : [];
    document.querySelectorAll(".plot .t").forEach(function (point) {
      var known = data.ranges.tensors[+point.dataset.t];
      point.classList.toggle("on", outs.indexOf(known.name) >= 0);
    });
  }

  // ------------------------------------------------------------ one drawing

  function panel(figure) {
    var canvas = figure.querySelector(".canvas");
    if (!canvas) { return null; }
    var graph = graphs[+figure.dataset.graph], svg = canvas.querySelector("svg");
    var full = { w: +svg.dataset.width, h: +svg.dataset.height };
    var x = 0, y = 0, scale = 1, pointers = new Map(), moved = 0, gap = 0;
    var boxes = Array.prototype.slice.call(svg.querySelectorAll(".n"));
    svg.setAttribute("preserveAspectRatio", "xMinYMin meet");

    function apply() {
      var w = canvas.clientWidth / scale, h = canvas.clientHeight / scale;
      svg.setAttribute("viewBox", x.toFixed(2) + " " + y.toFixed(2) + " " + w.toFixed(2) + " " + h.toFixed(2));
      svg.dataset.scale = scale.toFixed(3);
    }
    function fit(readable) {
      scale = Math.min(canvas.clientWidth / full.w, canvas.clientHeight / full.h, 1.4);
      if (readable) { scale = Math.max(scale, Math.min(0.5, 1.4)); }
      x = (full.w - canvas.clientWidth / scale) / 2;
      y = full.h * scale <= canvas.clientHeight ? (full.h - canvas.clientHeight / scale) / 2 : 0;
      if (readable && full.w * scale > canvas.clientWidth) { x = first() - canvas.clientWidth / scale / 2; }
      apply();
    }
    function first() {
      var box = boxes[0].getAttribute("transform").match(/[-\d.]+/g);
      var width = +boxes[0].querySelector("rect").getAttribute("width");
      return Math.max(canvas.clientWidth / scale / 2 - 8, +box[0] + width / 2);
    }
    function zoom(factor, px, py) {
      var to = Math.min(6, Math.max(0.03, scale * factor));
      x += px / scale - px / to; y += py / scale - py / to; scale = to; apply();
    }
    function middle(factor) { zoom(factor, canvas.clientWidth / 2, canvas.clientHeight / 2); }
    function local(event) {
      var frame = canvas.getBoundingClientRect();
      return { x: event.clientX - frame.left, y: event.clientY - frame.top };
    }

    canvas.addEventListener("wheel", function (event) {
      if (!event.ctrlKey && !canvas.classList.contains("active")) { return; }
      event.preventDefault();
      var at = local(event);
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), at.x, at.y);
    }, { passive: false });
    canvas.addEventListener("pointerdown", function (event) {
      if (event.pointerType === "touch" && !canvas.classList.contains("active")) { return; }
      pointers.set(event.pointerId, local(event)); moved = 0; gap = 0;
    });
    canvas.addEventListener("pointermove", function (event) {
      var old = pointers.get(event.pointerId), at = local(event);
      if (!old) { if (event.pointerType !== "touch") { hover(event); } return; }
      pointers.set(event.pointerId, at);
      if (pointers.size === 2) {
        var two = Array.from(pointers.values());
        var now = Math.hypot(two[0].x - two[1].x, two[0].y - two[1].y);
        if (gap) { zoom(now / gap, (two[0].x + two[1].x) / 2, (two[0].y + two[1].y) / 2); }
        gap = now; moved = 99; return;
      }
      moved += Math.abs(at.x - old.x) + Math.abs(at.y - old.y);
      if (moved > 4) {
        canvas.classList.add("held"); canvas.setPointerCapture(event.pointerId); hide();
        x -= (at.x - old.x) / scale; y -= (at.y - old.y) / scale; apply();
      }
    });
    function release(event) { pointers.delete(event.pointerId); canvas.classList.remove("held"); gap = 0; }
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", function (event) { if (event.pointerType !== "touch") { hide(); } });
    canvas.addEventListener("click", function (event) {
      document.querySelectorAll(".canvas.active").forEach(function (other) { other.classList.remove("active"); });
      canvas.classList.add("active");
      if (moved > 4) { return; }
      var box = event.target.closest(".n");
      if (!box) { hide(); return; }
      hover(event);
      panels.forEach(function (other) { if (other && other.figure !== figure) { other.find(box.dataset.k); } });
    });
    function hover(event) {
      var box = event.target.closest(".n");
      if (!box) { hide(); return; }
      var node = graph.nodes[+box.dataset.n];
      mark(node); showNode(graph, node, event);
    }
    canvas.addEventListener("keydown", function (event) {
      var step = 60 / scale, known = true;
      if (event.key === "ArrowLeft") { x -= step; } else if (event.key === "ArrowRight") { x += step; }
      else if (event.key === "ArrowUp") { y -= step; } else if (event.key === "ArrowDown") { y += step; }
      else if (event.key === "+" || event.key === "=") { middle(1.3); }
      else if (event.key === "-") { middle(1 / 1.3); }
      else if (event.key === "0") { fit(false); }
      else { known = false; }
      if (known) { event.preventDefault(); apply(); }
    });
    figure.addEventListener("click", function (event) {
      var doing = event.target.dataset && event.target.dataset["do"];
      if (doing === "in") { middle(1.4); } else if (doing === "out") { middle(1 / 1.4); }
      else if (doing === "fit") { fit(false); }
      else if (doing === "big") {
        var big = figure.classList.toggle("big");
        event.target.setAttribute("aria-pressed", String(big));
        document.body.style.overflow = big ? "hidden" : "";
        fit(!big);
      }
    });
    fit(true);

    return {
      figure: figure,
      fit: fit,
      mark: function (node) {
        boxes.forEach(function (box) {
          var own = graph.nodes[+box.dataset.n];
          var same = !!node && own.key === node.key;
          box.classList.toggle("on", same);
          box.classList.toggle("kin", !!node && !same && !!node.line && own.line === node.line);
        });
        svg.querySelectorAll(".w.on").forEach(function (wire) { wire.classList.remove("on"); });
      },
      find: function (key) {
        var box = boxes.find(function (each) { return each.dataset.k === key; });
        if (!box) { return; }
        var at = box.getAttribute("transform").match(/[-\d.]+/g);
        scale = Math.max(scale, 0.6);
        x = +at[0] + 40 - canvas.clientWidth / scale / 2;
        y = +at[1] + 12 - canvas.clientHeight / scale / 2;
        apply();
      }
    };
  }

  // ------------------------------------------------------------ charts, code, the rest

  function text(value) {
    if (value === null || value === undefined) { return "not bounded"; }
    return typeof value === "number" ? String(+value.toPrecision(4)) : value;
  }
  function point(event) {
    var range = event.target.closest("[data-t]"), stage = event.target.closest("[data-s]");
    if (range) {
      var t = data.ranges.tensors[+range.dataset.t];
      show(t.op, t.name, [
        ["seen", t.seen ? text(t.seen[0]) + " to " + text(t.seen[1]) : "not run"],
        ["bound", text(t.bound)], ["below 2⁻¹⁴", (100 * t.subnormal).toFixed(1) + " %"],
        ["", t.verdict]
      ], t.line, event);
      return true;
    }
    if (stage) {
      var s = data.chip.stages[+stage.dataset.s];
      show(s.name, (s.injected ? "injected, " : "") + s.unit, [
        ["predicted", (1000 * s.ms).toFixed(0) + " µs, from " + s.start_ms.toFixed(3) + " ms"],
        ["DDR read", s.ddr_read.toLocaleString("en") + " bytes"],
        ["written", s.ddr_written.toLocaleString("en") + " bytes"],
        ["CMX", s.cmx.toLocaleString("en") + " bytes"]
      ], s.detail, event);
      return true;
    }
    return false;
  }
  document.querySelectorAll(".plot, .lanes").forEach(function (chart) {
    chart.addEventListener("pointermove", function (event) { if (!point(event)) { hide(); } });
    chart.addEventListener("click", point);
    chart.addEventListener("pointerleave", hide);
  });
  document.addEventListener("click", function (event) {
    var button = event.target;
    if (button.dataset && button.dataset["do"] === "copy") {
      var code = button.parentElement.querySelector("code").textContent;
      var done = function () { button.textContent = "copied"; setTimeout(function () { button.textContent = "copy"; }, 1500); };
      if (navigator.clipboard) { navigator.clipboard.writeText(code).then(done, function () { select(button); }); }
      else { select(button); }
    }
    if (!event.target.closest(".canvas, .plot, .lanes")) {
      hide();
      document.querySelectorAll(".canvas.active").forEach(function (canvas) { canvas.classList.remove("active"); });
    }
  });
  function select(button) { getSelection().selectAllChildren(button.parentElement.querySelector("code")); }
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") { return; }
    hide();
    var big = document.querySelector(".panel.big [data-do=big]");
    if (big) { big.click(); big.focus(); }
  });
  var width = window.innerWidth;
  window.addEventListener("resize", function () {
    if (window.innerWidth === width) { return; }
    width = window.innerWidth;
    panels.forEach(function (each) { if (each) { each.fit(true); } });
  });
})();
