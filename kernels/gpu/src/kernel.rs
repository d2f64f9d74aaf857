//! The kernels by name. What each takes is said where it is launched, and in its file.

/// A kernel of `kernels/cuda`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `convert.cu`
    Convert,
    /// `linear.cu`
    Linear,
    /// `task_vectors.cu`
    TaskVectors,
    /// `gram.cu`
    Gram,
    /// `l1.cu`
    L1,
    /// `select.cu`
    Histogram,
    /// `select.cu`
    Scan,
    /// `trim.cu`
    CountTies,
    /// `trim.cu`
    SumTies,
    /// `trim.cu`
    Trim,
    /// `ranks.cu`
    DrawRanked,
    /// `gated.cu`
    GatedForward,
    /// `gated.cu`
    GatedBackward,
    /// `gated.cu`
    GateGradients,
    /// `gated.cu`
    SumParts,
    /// `delta.cu`
    DeltaForward,
    /// `delta.cu`
    DeltaBackward,
    /// `softmax.cu`
    Softmax,
    /// `softmax.cu`
    SoftmaxBackward,
    /// `decay.cu`, for keys of at most 64 channels
    DecayForward64,
    /// `decay.cu`, for keys of at most 128 channels
    DecayForward128,
    /// `hash.cu`
    ChunkValues,
}

impl Kernel {
    /// Every kernel, in the order of declaration.
    pub const ALL: [Self; 22] = [
        Self::Convert,
        Self::Linear,
        Self::TaskVectors,
        Self::Gram,
        Self::L1,
        Self::Histogram,
        Self::Scan,
        Self::CountTies,
        Self::SumTies,
        Self::Trim,
        Self::DrawRanked,
        Self::GatedForward,
        Self::GatedBackward,
        Self::GateGradients,
        Self::SumParts,
        Self::DeltaForward,
        Self::DeltaBackward,
        Self::Softmax,
        Self::SoftmaxBackward,
        Self::DecayForward64,
        Self::DecayForward128,
        Self::ChunkValues,
    ];

    /// Threads of a block.
    pub fn threads(self) -> u32 {
        match self {
            Self::DecayForward64 | Self::DecayForward128 => 128,
            Self::ChunkValues => 64,
            _ => 256,
        }
    }

    /// Its name in the source and in what is made of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Linear => "linear",
            Self::TaskVectors => "task_vectors",
            Self::Gram => "gram",
            Self::L1 => "l1",
            Self::Histogram => "histogram",
            Self::Scan => "scan",
            Self::CountTies => "count_ties",
            Self::SumTies => "sum_ties",
            Self::Trim => "trim",
            Self::DrawRanked => "draw_ranked",
            Self::GatedForward => "gated_forward",
            Self::GatedBackward => "gated_backward",
            Self::GateGradients => "gate_gradients",
            Self::SumParts => "sum_parts",
            Self::DeltaForward => "delta_forward",
            Self::DeltaBackward => "delta_backward",
            Self::Softmax => "softmax",
            Self::SoftmaxBackward => "softmax_backward",
            Self::DecayForward64 => "decay_forward_64",
            Self::DecayForward128 => "decay_forward_128",
            Self::ChunkValues => "chunk_values",
        }
    }
}
