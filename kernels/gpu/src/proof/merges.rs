//! What a device is asked before merges: the bytes of the CPU.

use blake3::{Hasher, hazmat::HasherExt};
use braid_kernels::{
    Chances, Combine, Dtype, Keep, Mask, MaskKey, MaskedPiece, Part, Pass, Selection, Slice, SliceMut, Source, TaskVector,
    TileTrim, Trim, magnitude, measure_sources, philox4x32, ranked,
};

use crate::{GpuError, Lane};

/// Some blocks, and a part of one.
const ELEMENTS: u32 = 10_007;
/// Bytes that lie before what is hashed.
const CHUNKS: u64 = 1 << 40;

/// Holds a lane of `device` against the CPU.
pub(crate) fn of_merges(device: &str, lane: &mut Lane) -> Result<(), GpuError> {
    let tensors: Vec<Vec<u8>> = (1..=3).map(tensor).collect();
    let slices = tensors.iter().map(|bytes| Slice::new(Dtype::BF16, bytes)).collect::<Result<Vec<_>, _>>()?;
    let [base, a, b] = [0, 1, 2].map(|at| slices[at]);
    let mask = Mask::new(MaskKey::new(7, 1, "w"), 0.5);
    let terms = [
        TaskVector { theta: a, keep: Keep::Bernoulli { mask, first: 64 }, scale: 2.0, weight: 0.6 },
        TaskVector { theta: b, keep: Keep::Trim(TileTrim { threshold: magnitude(0.5), ties: 9 }), scale: 1.0, weight: 0.7 },
    ];
    let combine = Combine { elect_sign: true, normalize: true, lambda: 0.9 };
    let (mut cpu, mut gpu) = (vec![0; tensors[0].len()], vec![0; tensors[0].len()]);
    braid_kernels::task_vectors(&base, &terms, &combine, &mut SliceMut::new(Dtype::BF16, &mut cpu)?)?;
    lane.task_vectors(&base, &terms, &combine, &mut SliceMut::new(Dtype::BF16, &mut gpu)?)?;
    let same = |operation, same: bool| {
        if same { Ok(()) } else { Err(GpuError::WrongAnswer { device: device.to_owned(), operation }) }
    };
    same("task_vectors", cpu == gpu)?;
    braid_kernels::linear(&slices, &[0.5, 0.3, -0.1], 0.7, &mut SliceMut::new(Dtype::BF16, &mut cpu)?)?;
    lane.linear(&slices, &[0.5, 0.3, -0.1], 0.7, &mut SliceMut::new(Dtype::BF16, &mut gpu)?)?;
    same("linear", cpu == gpu)?;
    same("gram", braid_kernels::gram(Some(&base), &[a, b])? == lane.gram(Some(&base), &[a, b])?)?;
    let source = Source::Difference { base, theta: a };
    let by_cpu = searched(|pass| Ok(measure_sources(&[(source.clone(), vec![pass])], 0)?))?;
    let by_gpu = searched(|pass| lane.measure(&[(source.clone(), vec![pass])]))?;
    same("selection", by_cpu == by_gpu)?;
    let (chances, piece) = (Chances { low: 0.3, high: 0.7 }, MaskedPiece { key: MaskKey::new(7, 1, "w"), first: 5 });
    let [of_cpu, of_gpu] = [
        ranked(&base, &a, ELEMENTS as usize, 0..ELEMENTS as usize, &chances, piece)?,
        lane.ranked(&base, &a, ELEMENTS as usize, 0..ELEMENTS as usize, &chances, piece)?,
    ];
    same("ranks", of_cpu == of_gpu)?;
    let value = Hasher::new().set_input_offset(CHUNKS).update(&tensors[0]).finalize_non_root();
    same("chaining_values", lane.chaining_values(&tensors[0], CHUNKS)? == [value])
}

/// The threshold of a third of a tensor, which is looked at as one tile.
fn searched(mut look: impl FnMut(&Pass) -> Result<Vec<Part>, GpuError>) -> Result<Option<Trim>, GpuError> {
    let mut search = Selection::new(ELEMENTS.into(), u64::from(ELEMENTS / 3), 1 << 20);
    while let Some(pass) = search.pass() {
        let parts = look(pass)?;
        search.absorb(parts)?;
    }
    Ok(search.trim().cloned())
}

/// Bell-shaped numbers around zero, as bfloat16.
fn tensor(seed: u32) -> Vec<u8> {
    let value = |index| {
        let sum: f32 = philox4x32([index, 0, 0, 0], [seed, 11]).iter().map(|word| *word as f32 / u32::MAX as f32 - 0.5).sum();
        ((sum.to_bits() >> 16) as u16).to_le_bytes()
    };
    (0..ELEMENTS).flat_map(value).collect()
}
