"""Open a GigE Vision or USB3 Vision camera, and apply the settings to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sources.aravis import CONTINUOUS, OFF, PACKET_SIZE_AS_SET, AravisError, aravis

SCHEME: Final = "genicam:"
CONTROL_SECONDS: Final = 20.0
"""Most seconds to wait for the control of a camera, which a killed program holds for 3 s."""
SECONDS_BETWEEN_TRIES: Final = 0.5
SOFTWARE: Final = "Software"
"""The trigger source of a camera that this service triggers."""


def is_genicam(source: str) -> bool:
    """Return whether a source names a GigE Vision or USB3 Vision camera."""
    return source.lower().startswith(SCHEME)


def name_of(source: str) -> str:
    """Return the name of a camera in errors and reports."""
    return f"GenICam camera {source[len(SCHEME) :].strip()}".strip()


class GenicamCamera:
    """An open camera that this process controls."""

    def __init__(self, settings: CameraSettings) -> None:
        """Open the camera in the settings, and apply the settings to it; raises `CameraError`."""
        self.name = name_of(settings.source)
        self.aravis = aravis()
        self.handle = self._opened(settings.source[len(SCHEME) :].strip())
        self._device = self.aravis.arv_camera_get_device(self.handle)
        self.is_gige = bool(self.aravis.arv_camera_is_gv_device(self.handle))
        try:
            self._take_control()
            with suppress(AravisError):  # the camera may still send to a program that was killed
                self.aravis.arv_camera_stop_acquisition(self.handle)
            self._apply(settings)
            self.trigger = self._trigger_source()
        except AravisError as error:
            self.close()
            raise CameraError(f"{self.name} refuses its settings: {error}") from None
        except CameraError:
            self.close()
            raise

    def _opened(self, camera: str) -> int:
        """Return the handle of the camera with this name; without a name, of the only camera that answers."""
        if not camera:
            answering = self.aravis.cameras()
            if len(answering) != 1:
                raise CameraError(f"CAMERA_SOURCE={SCHEME} names no camera, and {_answering(answering)}")
            camera = answering[0]
            self.name = name_of(f"{SCHEME}{camera}")
        try:
            return int(self.aravis.arv_camera_new(camera.encode()))
        except AravisError as error:
            raise CameraError(f"{self.name} does not answer ({error}); {_answering(self.aravis.cameras())}") from None

    @property
    def waits_for_line(self) -> bool:
        """Whether a signal at an input of the camera triggers it, so that any time may pass between two images."""
        return self.trigger not in ("", SOFTWARE)

    @property
    def is_controlled(self) -> bool:
        """Whether this process still controls the camera."""
        return not self.is_gige or bool(self.aravis.arv_gv_device_is_controller(self._device))

    def frames_per_second(self) -> float | None:
        """Return the frame rate of a camera that runs freely; None if it is triggered or does not tell its rate."""
        if self.trigger or not self.aravis.arv_camera_is_frame_rate_available(self.handle):
            return None
        return float(self.aravis.arv_camera_get_frame_rate(self.handle)) or None

    def close(self) -> None:
        """Give up the control of the camera."""
        if self.handle:
            self.aravis.g_object_unref(self.handle)
        self.handle = 0

    def _take_control(self) -> None:
        deadline = time.monotonic() + CONTROL_SECONDS
        while not self.is_controlled:
            if time.monotonic() > deadline:
                raise CameraError(f"another program controls {self.name}: end that program")
            time.sleep(SECONDS_BETWEEN_TRIES)
            with suppress(AravisError):
                self.aravis.arv_gv_device_take_control(self._device)

    def _apply(self, settings: CameraSettings) -> None:
        """Apply the settings; features without a setting are not changed."""
        library, camera = self.aravis, self.handle
        for feature in (settings.features or "").split():
            setting = f"CAMERA_FEATURES={feature}"
            self._set(setting, library.arv_device_set_features_from_string, self._device, feature.encode())
        with suppress(AravisError):  # chunk data would follow the pixels
            library.arv_camera_set_chunk_mode(camera, False)
        if settings.pixel_format:
            self._choose("PIXEL_FORMAT", settings.pixel_format, "pixel_formats_as_strings")
            library.arv_camera_set_pixel_format_from_string(camera, settings.pixel_format.encode())
        if size := settings.resolution:
            setting = f"CAMERA_RESOLUTION={size.width}x{size.height}"
            self._set(setting, library.arv_camera_set_region, camera, -1, -1, *size)
        if settings.exposure_microseconds is not None:
            if library.arv_camera_is_exposure_auto_available(camera):
                library.arv_camera_set_exposure_time_auto(camera, OFF)
            self._check("EXPOSURE_MICROSECONDS", settings.exposure_microseconds, "exposure_time")
            library.arv_camera_set_exposure_time(camera, settings.exposure_microseconds)
        if settings.gain is not None:
            if library.arv_camera_is_gain_auto_available(camera):
                library.arv_camera_set_gain_auto(camera, OFF)
            self._check("GAIN", settings.gain, "gain")
            library.arv_camera_set_gain(camera, settings.gain)
        if settings.trigger == "off":
            library.arv_camera_clear_triggers(camera)
        elif settings.trigger:
            source = SOFTWARE if settings.trigger == "software" else settings.trigger
            self._choose("TRIGGER", source, "trigger_sources")
            library.arv_camera_set_trigger(camera, source.encode())
        library.arv_camera_set_acquisition_mode(camera, CONTINUOUS)
        if settings.packet_size and self.is_gige:
            library.arv_gv_device_set_packet_size_adjustment(self._device, PACKET_SIZE_AS_SET)
            library.arv_camera_gv_set_packet_size(camera, settings.packet_size)

    def _set(self, setting: str, function: Callable[..., object], *values: object) -> None:
        try:
            function(*values)
        except AravisError as error:
            raise CameraError(f"{self.name} refuses {setting}: {error}") from None

    def _choose(self, setting: str, value: str, kind: str) -> None:
        """Check that a value is among those that the camera lists."""
        names = self.aravis.names(f"arv_camera_dup_available_{kind}", self.handle)
        if value not in names:
            raise CameraError(f"CAMERA_{setting}: {self.name} has no {value}: choose one of {', '.join(names)}")

    def _check(self, setting: str, value: float, kind: str) -> None:
        """Check that a value is within the limits of the camera."""
        least, most = self.aravis.bounds(f"arv_camera_get_{kind}_bounds", self.handle)
        if not least <= value <= most:
            raise CameraError(f"CAMERA_{setting}: {self.name} takes {least:.10g} to {most:.10g}, not {value:.10g}")

    def _trigger_source(self) -> str:
        """Return the trigger source of the camera; empty if it runs freely."""
        if not self.aravis.arv_camera_is_feature_available(self.handle, b"TriggerMode"):
            return ""
        is_on = self.aravis.arv_camera_get_string(self.handle, b"TriggerMode") == b"On"
        return str(self.aravis.arv_camera_get_string(self.handle, b"TriggerSource").decode()) if is_on else ""


def _answering(cameras: list[str]) -> str:
    """Return the end of an error: which cameras answer, and what to do."""
    if cameras:
        return f"these answer: {', '.join(cameras)}; give one of them, as CAMERA_SOURCE={SCHEME}{cameras[0]}"
    return (
        "no camera answers: check its power and its cable, that this machine has an address in its network, and that "
        "no firewall stands between them"
    )
