"""What a build writes: the manifest, superblobs, NN Archives, an OpenVINO IR; and opening them.

Nothing here imports numpy or onnx when it is loaded.
"""
