"""OAK cameras: DepthAI pipelines for v3 and v2, and the v3 pipeline without a camera.

    plan      pure: from a model's inputs to what is asked of DepthAI
    shaves    pure: how many SHAVEs to compile for, and why
    v3        builds a plan in a DepthAI v3 pipeline
    host      a v3 pipeline without a device: the camera is a video, the network is emulated
    v2        builds a plan as a DepthAI v2 device graph
    decode    from DepthAI's messages to pictures and numbers
    session   the run itself, for both kinds of v3 pipeline
    faults    DepthAI's errors in the user's terms

No depthai is imported when the package is; v2 and v3 cannot be installed together.
"""
