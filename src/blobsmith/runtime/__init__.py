"""Frames in, frames out, on this computer.

    samples   real photographs that come inside installed packages, and a moving sequence of them
    sources   image, folder, video, webcam, sample: one iterator of frames
    feed      from frames to the arrays that a model's inputs want
    engines   what computes: ONNX Runtime in FP32, or the emulator on the blob
    decode    from output arrays to pictures, masks and numbers
    compose   inputs and outputs side by side in one labelled picture
    sinks     pictures, folder, video, window
    loop      the run itself
    demo      the pictures of one zoo model

Everything between `sources` and `sinks` is a pure function of arrays.
"""
