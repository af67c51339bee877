"""Call Aravis, the C library for GigE Vision and USB3 Vision cameras, by `ctypes`.

Its Python binding exists for the system's own Python only (docs/adr/0023-genicam.md).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any, Final

from services.camera.errors import CameraError

LIBRARY: Final = "libaravis-0.8.so.0"
SUCCESS: Final = 0
"""ARV_BUFFER_STATUS_SUCCESS"""
CONTINUOUS: Final = 0
"""ARV_ACQUISITION_MODE_CONTINUOUS"""
OFF: Final = 0
"""ARV_AUTO_OFF"""
PACKET_SIZE_AS_SET: Final = 0
"""ARV_GV_PACKET_SIZE_ADJUSTMENT_NEVER"""
PACKET_SOCKET_DISABLED: Final = 1
"""ARV_GV_STREAM_OPTION_PACKET_SOCKET_DISABLED: a packet socket needs rights that a container does not have."""
STATUSES: Final = {
    1: "was cleared",
    2: "came incomplete in time",
    3: "lacks packets",
    4: "has packets of a wrong number",
    5: "is larger than announced",
    6: "is incomplete",
    7: "was ended before it was complete",
    8: "is not a plain image",
}
"""The values of ArvBufferStatus other than success, as the end of a sentence about an image."""


class AravisError(Exception):
    """A call of Aravis failed; the message is that of Aravis."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


_WITHOUT_ERROR: Final[dict[str, tuple[Any, ...]]] = {
    "arv_update_device_list": (None,),
    "arv_get_n_devices": (c_uint,),
    "arv_get_device_id": (c_char_p, c_uint),
    "arv_debug_enable": (c_int, c_char_p),
    "arv_camera_get_device": (c_void_p, c_void_p),
    "arv_camera_is_gv_device": (c_int, c_void_p),
    "arv_gv_device_is_controller": (c_int, c_void_p),
    "arv_gv_device_set_stream_options": (None, c_void_p, c_int),
    "arv_gv_device_set_packet_size_adjustment": (None, c_void_p, c_int),
    "arv_buffer_new_allocate": (c_void_p, c_size_t),
    "arv_buffer_get_status": (c_int, c_void_p),
    "arv_buffer_get_frame_id": (c_uint64, c_void_p),
    "arv_buffer_get_timestamp": (c_uint64, c_void_p),
    "arv_buffer_get_system_timestamp": (c_uint64, c_void_p),
    "arv_buffer_get_image_width": (c_int, c_void_p),
    "arv_buffer_get_image_height": (c_int, c_void_p),
    "arv_buffer_get_image_pixel_format": (c_uint, c_void_p),
    "arv_buffer_get_data": (c_void_p, c_void_p, POINTER(c_size_t)),
    "arv_stream_push_buffer": (None, c_void_p, c_void_p),
    "arv_stream_timeout_pop_buffer": (c_void_p, c_void_p, c_uint64),
    "g_object_unref": (None, c_void_p),
    "g_error_free": (None, c_void_p),
    "g_free": (None, c_void_p),
}
"""The types of the result and the arguments of functions that can't fail, by name."""
_WITH_ERROR: Final[dict[str, tuple[Any, ...]]] = {
    "arv_camera_new": (c_void_p, c_char_p),
    "arv_camera_create_stream": (c_void_p, c_void_p, c_void_p, c_void_p),
    "arv_camera_start_acquisition": (None, c_void_p),
    "arv_camera_stop_acquisition": (None, c_void_p),
    "arv_camera_set_acquisition_mode": (None, c_void_p, c_int),
    "arv_camera_set_region": (None, c_void_p, c_int, c_int, c_int, c_int),
    "arv_camera_get_region": (None, c_void_p, POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_int)),
    "arv_camera_get_payload": (c_uint, c_void_p),
    "arv_camera_set_pixel_format_from_string": (None, c_void_p, c_char_p),
    "arv_camera_get_pixel_format_as_string": (c_char_p, c_void_p),
    "arv_camera_get_pixel_format": (c_uint, c_void_p),
    "arv_camera_dup_available_pixel_formats_as_strings": (c_void_p, c_void_p, POINTER(c_uint)),
    "arv_camera_dup_available_trigger_sources": (c_void_p, c_void_p, POINTER(c_uint)),
    "arv_camera_set_trigger": (None, c_void_p, c_char_p),
    "arv_camera_clear_triggers": (None, c_void_p),
    "arv_camera_software_trigger": (None, c_void_p),
    "arv_camera_is_exposure_auto_available": (c_int, c_void_p),
    "arv_camera_set_exposure_time_auto": (None, c_void_p, c_int),
    "arv_camera_get_exposure_time_bounds": (None, c_void_p, POINTER(c_double), POINTER(c_double)),
    "arv_camera_set_exposure_time": (None, c_void_p, c_double),
    "arv_camera_get_exposure_time": (c_double, c_void_p),
    "arv_camera_is_gain_auto_available": (c_int, c_void_p),
    "arv_camera_set_gain_auto": (None, c_void_p, c_int),
    "arv_camera_get_gain_bounds": (None, c_void_p, POINTER(c_double), POINTER(c_double)),
    "arv_camera_set_gain": (None, c_void_p, c_double),
    "arv_camera_get_gain": (c_double, c_void_p),
    "arv_camera_is_frame_rate_available": (c_int, c_void_p),
    "arv_camera_get_frame_rate": (c_double, c_void_p),
    "arv_camera_is_feature_available": (c_int, c_void_p, c_char_p),
    "arv_camera_get_string": (c_char_p, c_void_p, c_char_p),
    "arv_camera_set_chunk_mode": (None, c_void_p, c_int),
    "arv_camera_gv_get_packet_size": (c_int, c_void_p),
    "arv_camera_gv_set_packet_size": (None, c_void_p, c_int),
    "arv_gv_device_take_control": (c_int, c_void_p),
    "arv_device_set_features_from_string": (c_int, c_void_p, c_char_p),
}
"""The types of the result and the arguments of functions that can fail, by name; a GError is their last argument."""


class Aravis:
    """The functions of Aravis as methods; a method raises `AravisError` if its function fails."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, (result, *arguments) in _WITHOUT_ERROR.items():
            getattr(library, name).restype, getattr(library, name).argtypes = result, arguments
        for name, (result, *arguments) in _WITH_ERROR.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, [*arguments, POINTER(POINTER(_GError))]
        library.arv_debug_enable(b"all:0")  # Aravis would write to the standard error of the service

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)
        return function if name in _WITHOUT_ERROR else _Fallible(function, self._library)

    def names(self, function: str, camera: int) -> list[str]:
        """Return the names that one of the ``arv_camera_dup_available_…`` functions lists."""
        count = c_uint()
        listed = getattr(self, function)(camera, byref(count))
        names = ctypes.cast(listed, POINTER(c_char_p))
        texts = [(names[index] or b"").decode() for index in range(count.value)]
        self._library.g_free(listed)
        return texts

    def bounds(self, function: str, camera: int) -> tuple[float, float]:
        """Return the least and the largest value that one of the ``arv_camera_get_…_bounds`` functions returns."""
        least, most = c_double(), c_double()
        getattr(self, function)(camera, byref(least), byref(most))
        return least.value, most.value

    def size(self, camera: int) -> tuple[int, int]:
        """Return width and height of the images of a camera."""
        x, y, width, height = c_int(), c_int(), c_int(), c_int()
        self.arv_camera_get_region(camera, byref(x), byref(y), byref(width), byref(height))
        return width.value, height.value

    def content(self, buffer: int) -> bytes:
        """Return a copy of the data of a buffer."""
        size = c_size_t()
        data = self.arv_buffer_get_data(buffer, byref(size))
        return ctypes.string_at(data, size.value) if data else b""

    def cameras(self) -> list[str]:
        """Search for cameras, which takes a second, and return their names."""
        self.arv_update_device_list()
        return [(self.arv_get_device_id(index) or b"").decode() for index in range(self.arv_get_n_devices())]


class _Fallible:
    """A function of Aravis that reports a failure by a GError."""

    def __init__(self, function: Any, library: ctypes.CDLL) -> None:
        self._function = function
        self._library = library

    def __call__(self, *arguments: Any) -> Any:
        failure = POINTER(_GError)()
        result = self._function(*arguments, byref(failure))
        if failure:
            message = (failure.contents.message or b"").decode(errors="replace")
            self._library.g_error_free(failure)
            raise AravisError(message)
        return result


@cache
def aravis() -> Aravis:
    """Load the library.

    Raises:
        CameraError: Aravis is not installed.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise CameraError(
            "GigE Vision and USB3 Vision need Aravis, which is not installed: install the package libaravis-0.8-0, or "
            "use the image of the camera that contains it (docs/operations.md)"
        ) from None
    return Aravis(library)
