"""One's own converter service: .onnx files in over HTTP, checked blobs out, on this machine.

settings   the limits, and who may ask
faults     errors as HTTP answers: which status, and which words a client may see
guard      what every request passes: the Host, the Origin, the token; headers of every answer
gate       how many requests are taken in at once
upload     reads a form while it arrives
wish       the fields of a form as options
jobs       what runs inside a worker: nothing of a client's file is parsed outside of one
desk       one job for one client, ended when the client goes away
results    finished builds, kept for a while under names that cannot be guessed
replies    answers: an error, a file, a build in one of three forms
routes     our own endpoints; `cloud` and `cloud_config` those that blobconverter's client calls
app        all of it as one ASGI application; `listen` runs it

No user code runs here: a client sends ONNX, never a module, and never a path on this machine.
FastAPI and uvicorn (the extra "server") load only with `app` and `listen`.
"""

from __future__ import annotations
