"""Which files are the compiler: wheels and libraries, pinned by hash.

Origin: the wheels' own files, hashed when they were first examined; see docs/compiler.md.
"""

from __future__ import annotations

OPENVINO_VERSION = "2022.1"
PACKAGE = "onnxruntime-openvino"

# version -> sha256 of its cp39 manylinux2014 x86_64 wheel; both hold the same libraries.
WHEELS: dict[str, str] = {
    "1.12.0": "d1b3df0ea13456cd84bd72171badb2adad2db327a25753ec151ead24ea7e8a68",
    "1.11.0": "1a6ef223f4764198f22bf93d216519ef28d31da29cf66e01a441aa2c6dbb996b",
}

LIBRARIES: dict[str, str] = {
    "libopenvino.so": "67fa7944e6aeb3197823515dc9e4e91fa2c8b65fc8a24bbf09ceec8d4d447f48",
    "libopenvino_c.so": "938660ac9d1ca540f96635937cdef84d3daa70525534d99fbe1f99ffeb1ab513",
    "libopenvino_onnx_frontend.so": (
        "6da827df3d52580fd60a9f915767d638299ed99bb657b6c827c04dd7576dacba"
    ),
    "libopenvino_intel_myriad_plugin.so": (
        "6cfb9294a58962e380b06edcdc68e2092ed17f06679cc3bfb36804ecef61f0f3"
    ),
    "libtbb.so.2": "a7f70e3f6acbec4884bebff619359866e24cf42beae604a860b28f9d4c66700f",
    "libtbbmalloc.so.2": "98cea22a8a53c141cdbdcb40ab9981f5a7a7d1804b4c8a4e77782ac3688d1da6",
}

PLUGINS_XML = """<ie>
    <plugins>
        <plugin name="MYRIAD" location="libopenvino_intel_myriad_plugin.so">
        </plugin>
    </plugins>
</ie>
"""

# Names one exact compiler in cache keys and manifests.
IDENTITY = f"openvino-{OPENVINO_VERSION}-{LIBRARIES['libopenvino_intel_myriad_plugin.so'][:12]}"
