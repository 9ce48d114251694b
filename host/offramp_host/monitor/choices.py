"""Model, way and thresholds as they are chosen, and how a board is brought to them."""

from __future__ import annotations

from collections.abc import Sequence

from offramp.errors import UserError
from offramp_host.device import Device
from offramp_host.monitor.model import Model, model_on
from offramp_host.monitor.settings import Settings, Way

_THRESHOLD_PART = 8
_MOST_THRESHOLD = 0xFFFF


class Choices:
    """Holds whatever board answers: `set_on` brings one that is back, or another, to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._which_model = self._which_way = 0
        self._model: Model | None = None
        self._ways: Sequence[Way] = ()
        self._thresholds: dict[tuple[int, int], int] = {}

    @property
    def model(self) -> Model:
        assert self._model is not None, "set_on comes first"
        return self._model

    @property
    def way(self) -> Way:
        return self._ways[self._which_way]

    @property
    def n_ways(self) -> int:
        """From which `next_way` takes the next."""
        return len(self._ways)

    def set_on(self, device: Device) -> None:
        """Model, way, thresholds and the model's first state."""
        info = device.info()
        models = self._settings.models
        model = models[self._which_model] if models else self._model or model_on(info)
        if info.model.crc != model.crc or not info.model.source:
            if model.data is None:
                has = "another model now" if info.model.source else "no model"
                raise UserError(f"{device.url}: the board has {has}", "name a model file for it")
            device.load_model(model.data)
        self._model, self._ways = model, list(self._settings.ways_for(model))
        self._set_way(device, self._which_way)
        device.reset_state()

    def move_thresholds(self, device: Device, sign: int) -> None:
        """Every exit's by an eighth, up or down."""
        for i, plan in enumerate(device.info().plans):
            for j, stage in enumerate(plan.stages):
                if stage.exit is not None:
                    value = stage.exit.threshold
                    moved = value + sign * max(value // _THRESHOLD_PART, 1)
                    self._thresholds[i, j] = min(max(moved, 0), _MOST_THRESHOLD)
                    device.set_threshold(j, self._thresholds[i, j], plan=i)

    def next_way(self, device: Device) -> None:
        """Thresholds that were moved stay so."""
        way = (self._which_way + 1) % len(self._ways)
        self._set_way(device, way)
        self._which_way = way

    def next_model(self) -> Model:
        """The one that the next `set_on` sends, in its first way and with its own thresholds."""
        models = self._settings.models
        self._which_model, self._which_way = (self._which_model + 1) % len(models), 0
        self._thresholds = {}
        return models[self._which_model]

    @property
    def place(self) -> tuple[int, int, dict[tuple[int, int], int]]:
        """What `go_back` takes."""
        return self._which_model, self._which_way, self._thresholds

    def go_back(self, place: tuple[int, int, dict[tuple[int, int], int]]) -> None:
        """To what was chosen then, with the next `set_on`."""
        self._which_model, self._which_way, self._thresholds = place

    def _set_way(self, device: Device, way: int) -> None:
        self._ways[way].set_on(device)
        for (plan, exit_), value in self._thresholds.items():
            device.set_threshold(exit_, value, plan=plan)
