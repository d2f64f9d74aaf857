from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlanRequest(_message.Message):
    __slots__ = ("lengths", "cluster", "model", "context", "effort", "degrees", "no_barrier", "baselines", "budget_millis", "tag")
    class Effort(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FAST: _ClassVar[PlanRequest.Effort]
        THOROUGH: _ClassVar[PlanRequest.Effort]
    FAST: PlanRequest.Effort
    THOROUGH: PlanRequest.Effort
    class Degrees(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POWERS_OF_TWO: _ClassVar[PlanRequest.Degrees]
        ANY: _ClassVar[PlanRequest.Degrees]
    POWERS_OF_TWO: PlanRequest.Degrees
    ANY: PlanRequest.Degrees
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    DEGREES_FIELD_NUMBER: _ClassVar[int]
    NO_BARRIER_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MILLIS_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    lengths: _containers.RepeatedScalarFieldContainer[int]
    cluster: str
    model: str
    context: int
    effort: PlanRequest.Effort
    degrees: PlanRequest.Degrees
    no_barrier: bool
    baselines: bool
    budget_millis: int
    tag: int
    def __init__(self, lengths: _Optional[_Iterable[int]] = ..., cluster: _Optional[str] = ..., model: _Optional[str] = ..., context: _Optional[int] = ..., effort: _Optional[_Union[PlanRequest.Effort, str]] = ..., degrees: _Optional[_Union[PlanRequest.Degrees, str]] = ..., no_barrier: bool = ..., baselines: bool = ..., budget_millis: _Optional[int] = ..., tag: _Optional[int] = ...) -> None: ...

class PlanReply(_message.Message):
    __slots__ = ("tag", "predicted_s", "bound_s", "gap", "any_division_bound_s", "solve_ms", "baselines", "micro_batches", "dropped", "world", "barrier", "context")
    class Baselines(_message.Message):
        __slots__ = ("static_s", "batchada_s")
        STATIC_S_FIELD_NUMBER: _ClassVar[int]
        BATCHADA_S_FIELD_NUMBER: _ClassVar[int]
        static_s: float
        batchada_s: float
        def __init__(self, static_s: _Optional[float] = ..., batchada_s: _Optional[float] = ...) -> None: ...
    class MicroBatch(_message.Message):
        __slots__ = ("predicted_s", "bound_s", "groups")
        PREDICTED_S_FIELD_NUMBER: _ClassVar[int]
        BOUND_S_FIELD_NUMBER: _ClassVar[int]
        GROUPS_FIELD_NUMBER: _ClassVar[int]
        predicted_s: float
        bound_s: float
        groups: _containers.RepeatedCompositeFieldContainer[PlanReply.Group]
        def __init__(self, predicted_s: _Optional[float] = ..., bound_s: _Optional[float] = ..., groups: _Optional[_Iterable[_Union[PlanReply.Group, _Mapping]]] = ...) -> None: ...
    class Group(_message.Message):
        __slots__ = ("first_rank", "degree", "predicted_s", "sequences")
        FIRST_RANK_FIELD_NUMBER: _ClassVar[int]
        DEGREE_FIELD_NUMBER: _ClassVar[int]
        PREDICTED_S_FIELD_NUMBER: _ClassVar[int]
        SEQUENCES_FIELD_NUMBER: _ClassVar[int]
        first_rank: int
        degree: int
        predicted_s: float
        sequences: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, first_rank: _Optional[int] = ..., degree: _Optional[int] = ..., predicted_s: _Optional[float] = ..., sequences: _Optional[_Iterable[int]] = ...) -> None: ...
    TAG_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_S_FIELD_NUMBER: _ClassVar[int]
    BOUND_S_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    ANY_DIVISION_BOUND_S_FIELD_NUMBER: _ClassVar[int]
    SOLVE_MS_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    MICRO_BATCHES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    BARRIER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tag: int
    predicted_s: float
    bound_s: float
    gap: float
    any_division_bound_s: float
    solve_ms: float
    baselines: PlanReply.Baselines
    micro_batches: _containers.RepeatedCompositeFieldContainer[PlanReply.MicroBatch]
    dropped: _containers.RepeatedScalarFieldContainer[int]
    world: int
    barrier: bool
    context: int
    def __init__(self, tag: _Optional[int] = ..., predicted_s: _Optional[float] = ..., bound_s: _Optional[float] = ..., gap: _Optional[float] = ..., any_division_bound_s: _Optional[float] = ..., solve_ms: _Optional[float] = ..., baselines: _Optional[_Union[PlanReply.Baselines, _Mapping]] = ..., micro_batches: _Optional[_Iterable[_Union[PlanReply.MicroBatch, _Mapping]]] = ..., dropped: _Optional[_Iterable[int]] = ..., world: _Optional[int] = ..., barrier: bool = ..., context: _Optional[int] = ...) -> None: ...
