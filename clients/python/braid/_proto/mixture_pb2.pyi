from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BeginRequest(_message.Message):
    __slots__ = ("domains", "step")
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedScalarFieldContainer[str]
    step: int
    def __init__(self, domains: _Optional[_Iterable[str]] = ..., step: _Optional[int] = ...) -> None: ...

class BeginReply(_message.Message):
    __slots__ = ("domains", "steps", "slots", "context", "seed", "checkpoint_every", "folder", "method")
    class Domain(_message.Message):
        __slots__ = ("name", "paths", "tokens")
        NAME_FIELD_NUMBER: _ClassVar[int]
        PATHS_FIELD_NUMBER: _ClassVar[int]
        TOKENS_FIELD_NUMBER: _ClassVar[int]
        name: str
        paths: _containers.RepeatedScalarFieldContainer[str]
        tokens: int
        def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., tokens: _Optional[int] = ...) -> None: ...
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedCompositeFieldContainer[BeginReply.Domain]
    steps: int
    slots: int
    context: int
    seed: int
    checkpoint_every: int
    folder: str
    method: str
    def __init__(self, domains: _Optional[_Iterable[_Union[BeginReply.Domain, _Mapping]]] = ..., steps: _Optional[int] = ..., slots: _Optional[int] = ..., context: _Optional[int] = ..., seed: _Optional[int] = ..., checkpoint_every: _Optional[int] = ..., folder: _Optional[str] = ..., method: _Optional[str] = ...) -> None: ...

class WeightsRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class WeightsReply(_message.Message):
    __slots__ = ("train", "measure", "probe", "test", "over")
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    train: Leg
    measure: Needs
    probe: ProbePlan
    test: Nothing
    over: Nothing
    def __init__(self, train: _Optional[_Union[Leg, _Mapping]] = ..., measure: _Optional[_Union[Needs, _Mapping]] = ..., probe: _Optional[_Union[ProbePlan, _Mapping]] = ..., test: _Optional[_Union[Nothing, _Mapping]] = ..., over: _Optional[_Union[Nothing, _Mapping]] = ...) -> None: ...

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Leg(_message.Message):
    __slots__ = ("since_step", "until", "proportions", "objective", "rule", "needs")
    class Rule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        EXACT: _ClassVar[Leg.Rule]
        MULTINOMIAL: _ClassVar[Leg.Rule]
        FLOORED: _ClassVar[Leg.Rule]
    EXACT: Leg.Rule
    MULTINOMIAL: Leg.Rule
    FLOORED: Leg.Rule
    SINCE_STEP_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PROPORTIONS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    since_step: int
    until: int
    proportions: _containers.RepeatedScalarFieldContainer[float]
    objective: _containers.RepeatedScalarFieldContainer[float]
    rule: Leg.Rule
    needs: Needs
    def __init__(self, since_step: _Optional[int] = ..., until: _Optional[int] = ..., proportions: _Optional[_Iterable[float]] = ..., objective: _Optional[_Iterable[float]] = ..., rule: _Optional[_Union[Leg.Rule, str]] = ..., needs: _Optional[_Union[Needs, _Mapping]] = ...) -> None: ...

class Needs(_message.Message):
    __slots__ = ("train", "validation", "excess", "norms", "products")
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    EXCESS_FIELD_NUMBER: _ClassVar[int]
    NORMS_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    train: bool
    validation: bool
    excess: bool
    norms: bool
    products: bool
    def __init__(self, train: bool = ..., validation: bool = ..., excess: bool = ..., norms: bool = ..., products: bool = ...) -> None: ...

class ProbePlan(_message.Message):
    __slots__ = ("from_start", "measure", "keep_reference", "branches")
    class Branch(_message.Message):
        __slots__ = ("proportions", "steps", "stream")
        PROPORTIONS_FIELD_NUMBER: _ClassVar[int]
        STEPS_FIELD_NUMBER: _ClassVar[int]
        STREAM_FIELD_NUMBER: _ClassVar[int]
        proportions: _containers.RepeatedScalarFieldContainer[float]
        steps: int
        stream: int
        def __init__(self, proportions: _Optional[_Iterable[float]] = ..., steps: _Optional[int] = ..., stream: _Optional[int] = ...) -> None: ...
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    KEEP_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    from_start: bool
    measure: bool
    keep_reference: bool
    branches: _containers.RepeatedCompositeFieldContainer[ProbePlan.Branch]
    def __init__(self, from_start: bool = ..., measure: bool = ..., keep_reference: bool = ..., branches: _Optional[_Iterable[_Union[ProbePlan.Branch, _Mapping]]] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("step", "since", "tokens", "losses", "validation", "excess", "gradients", "stale", "test")
    class TokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LossesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ValidationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ExcessEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class TestEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    EXCESS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    step: int
    since: int
    tokens: _containers.ScalarMap[str, int]
    losses: _containers.ScalarMap[str, float]
    validation: _containers.ScalarMap[str, float]
    excess: _containers.ScalarMap[str, float]
    gradients: Gradients
    stale: int
    test: _containers.ScalarMap[str, float]
    def __init__(self, step: _Optional[int] = ..., since: _Optional[int] = ..., tokens: _Optional[_Mapping[str, int]] = ..., losses: _Optional[_Mapping[str, float]] = ..., validation: _Optional[_Mapping[str, float]] = ..., excess: _Optional[_Mapping[str, float]] = ..., gradients: _Optional[_Union[Gradients, _Mapping]] = ..., stale: _Optional[int] = ..., test: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Gradients(_message.Message):
    __slots__ = ("squared_norms", "variances", "products", "learning_rate")
    class Row(_message.Message):
        __slots__ = ("by_trained",)
        class ByTrainedEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: float
            def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
        BY_TRAINED_FIELD_NUMBER: _ClassVar[int]
        by_trained: _containers.ScalarMap[str, float]
        def __init__(self, by_trained: _Optional[_Mapping[str, float]] = ...) -> None: ...
    class SquaredNormsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class VariancesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ProductsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Gradients.Row
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Gradients.Row, _Mapping]] = ...) -> None: ...
    SQUARED_NORMS_FIELD_NUMBER: _ClassVar[int]
    VARIANCES_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    squared_norms: _containers.ScalarMap[str, float]
    variances: _containers.ScalarMap[str, float]
    products: _containers.MessageMap[str, Gradients.Row]
    learning_rate: float
    def __init__(self, squared_norms: _Optional[_Mapping[str, float]] = ..., variances: _Optional[_Mapping[str, float]] = ..., products: _Optional[_Mapping[str, Gradients.Row]] = ..., learning_rate: _Optional[float] = ...) -> None: ...

class ProbedRequest(_message.Message):
    __slots__ = ("step", "before", "branches")
    class Branch(_message.Message):
        __slots__ = ("tokens", "after")
        class TokensEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: int
            def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
        class AfterEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: float
            def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
        TOKENS_FIELD_NUMBER: _ClassVar[int]
        AFTER_FIELD_NUMBER: _ClassVar[int]
        tokens: _containers.ScalarMap[str, int]
        after: _containers.ScalarMap[str, float]
        def __init__(self, tokens: _Optional[_Mapping[str, int]] = ..., after: _Optional[_Mapping[str, float]] = ...) -> None: ...
    class BeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    step: int
    before: _containers.ScalarMap[str, float]
    branches: _containers.RepeatedCompositeFieldContainer[ProbedRequest.Branch]
    def __init__(self, step: _Optional[int] = ..., before: _Optional[_Mapping[str, float]] = ..., branches: _Optional[_Iterable[_Union[ProbedRequest.Branch, _Mapping]]] = ...) -> None: ...

class Recorded(_message.Message):
    __slots__ = ("new",)
    NEW_FIELD_NUMBER: _ClassVar[int]
    new: bool
    def __init__(self, new: bool = ...) -> None: ...
