"""The wheel's tag: for one platform when the kernel library is inside, for any when it is not."""

from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

HAS_LIBRARY = (Path(__file__).parent / "src" / "spinfer" / "lib" / "libspinfer.so").is_file()


class Wheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = not HAS_LIBRARY

    def get_tag(self) -> tuple[str, str, str]:
        # the library is loaded through ctypes: no Python ABI is involved
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"bdist_wheel": Wheel})
