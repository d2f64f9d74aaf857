//! Prints how fast each kernel runs on one core, beside what a plain copy reaches in the same run.
//!
//! `cargo run --release -p braid-kernels --example throughput [NAME…]`: with names, only the kernels whose label has one of them.
//! Rates are of processor time, the best of many rounds, since what else runs on a machine only ever slows one down. The data is
//! larger than any cache, so that the figures are those of a merge and not of a loop over the same few bytes.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::ops::Range;

use braid_kernels::{
    Chances, Combine, Dtype, Floor, Keep, KernelError, Mask, MaskKey, MaskedPiece, Part, Pieces, Selected, Selection, Slice,
    SliceMut, Source, TaskVector, chosen, convert, dots, energies, kept, l1, linear, measure_sources, measure_together, ranked,
    scale, sce, task_vectors,
};
use rustix::time::{ClockId, clock_gettime};

/// Elements of a tensor: 16 MiB in two bytes each.
const ELEMENTS: usize = 1 << 23;
/// Elements of a tile, as a worker cuts them.
const TILE: usize = 1 << 20;
const ROUNDS: usize = 20;

fn main() -> Result<(), KernelError> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let bench = |label: &str, bytes_per_element: usize, run: &mut dyn FnMut() -> Result<(), KernelError>| {
        if !wanted.is_empty() && !wanted.iter().any(|name| label.contains(name.as_str())) {
            return Ok(());
        }
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let start = cpu_seconds();
            run()?;
            best = best.min(cpu_seconds() - start);
        }
        let rate = ELEMENTS as f64 / best;
        println!("{label:44} {:8.0} M elements/s {:7.2} GB/s", rate / 1e6, rate * bytes_per_element as f64 / 1e9);
        Ok(())
    };

    // As many bytes as a merge of three inputs and a base touches, so that this too comes from memory.
    let source = family(Dtype::BF16, 0).repeat(4);
    let mut copy = vec![1u8; source.len()];
    bench("copy, eight bytes an element (ceiling)", 16, &mut || {
        copy.copy_from_slice(&source);
        Ok(())
    })?;
    drop((source, copy));
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32] {
        kernels(dtype, &bench)?;
    }
    Ok(())
}

type Bench<'a> = dyn Fn(&str, usize, &mut dyn FnMut() -> Result<(), KernelError>) -> Result<(), KernelError> + 'a;

fn kernels(dtype: Dtype, bench: &Bench<'_>) -> Result<(), KernelError> {
    let size = dtype.size();
    let tensors: Vec<Vec<u8>> = (0..4).map(|model| family(dtype, model)).collect();
    let mut out = vec![0u8; ELEMENTS * size];
    let mut other = vec![0u8; ELEMENTS * 4];
    let part = |model: usize, range: Range<usize>| Slice::new(dtype, &tensors[model])?.part(range);
    let tile_of = |model: usize, tile: usize| part(model, tile * TILE..(tile + 1) * TILE);
    let tiles = ELEMENTS / TILE;
    const N: u64 = ELEMENTS as u64;

    bench(&format!("{dtype} linear, 3 inputs"), 4 * size, &mut || {
        for (tile, out) in out.chunks_mut(TILE * size).enumerate() {
            let inputs = [tile_of(1, tile)?, tile_of(2, tile)?, tile_of(3, tile)?];
            linear(&inputs, &[1.0, 0.5, 0.25], 1.75, &mut SliceMut::new(dtype, out)?)?;
        }
        Ok(())
    })?;
    let mask = |model| Mask::new(MaskKey::new(1, model, "w"), 0.3);
    for (label, elect_sign, kind) in [
        ("task arithmetic, 3 experts", false, 0),
        ("election, 3 experts", true, 0),
        ("trim + election (ties), 3 experts", true, 1),
        ("masks + election (dare), 3 experts", true, 2),
    ] {
        bench(&format!("{dtype} {label}"), 5 * size, &mut || {
            for (tile, out) in out.chunks_mut(TILE * size).enumerate() {
                let mut experts = Vec::new();
                for model in 1..4 {
                    let keep = match kind {
                        0 => Keep::All,
                        1 => Keep::Trim(braid_kernels::TileTrim { threshold: braid_kernels::magnitude(1e-3), ties: 1000 }),
                        _ => Keep::Bernoulli { mask: mask(model as u32), first: (tile * TILE) as u64 },
                    };
                    experts.push(TaskVector { theta: tile_of(model, tile)?, keep, scale: 1.0, weight: 0.5 });
                }
                let combine = Combine { elect_sign, normalize: elect_sign, lambda: 1.0 };
                task_vectors(&tile_of(0, tile)?, &experts, &combine, &mut SliceMut::new(dtype, out)?)?;
            }
            Ok(())
        })?;
    }
    bench(&format!("{dtype} dots"), 2 * size, &mut || {
        (0..tiles).try_for_each(|tile| dots(&tile_of(0, tile)?, &tile_of(1, tile)?).map(drop))
    })?;
    bench(&format!("{dtype} l1, all kept"), 2 * size, &mut || {
        (0..tiles).try_for_each(|tile| l1(&tile_of(0, tile)?, &tile_of(1, tile)?, Keep::All).map(drop))
    })?;
    bench(&format!("{dtype} l1 under a mask"), 2 * size, &mut || {
        (0..tiles).try_for_each(|tile| {
            let keep = Keep::Bernoulli { mask: mask(1), first: (tile * TILE) as u64 };
            l1(&tile_of(0, tile)?, &tile_of(1, tile)?, keep).map(drop)
        })
    })?;
    bench(&format!("{dtype} trim selection, 3 experts"), 4 * size, &mut || {
        let mut selections = [0.2, 0.3, 0.5].map(|density| Selection::new(N, kept(density, N), 16 << 20));
        while let [Some(a), Some(b), Some(c)] = selections.each_ref().map(Selection::pass) {
            let measure = |first: usize, end: usize| {
                let thetas = [part(1, first..end)?, part(2, first..end)?, part(3, first..end)?];
                measure_together(&[a, b, c], &part(0, first..end)?, &thetas, first as u64)
            };
            let found = parts(a.pieces(), &measure)?;
            absorb(&mut selections, found)?;
        }
        Ok(())
    })?;
    bench(&format!("{dtype} band selection, 1 expert"), 2 * size, &mut || {
        let mut selections = [0.01, 0.51].map(|density| Selection::new(N, kept(density, N), 16 << 20));
        while let [Some(a), Some(b)] = selections.each_ref().map(Selection::pass) {
            let measure = |first: usize, end: usize| {
                let source = Source::Difference { base: part(0, first..end)?, theta: part(1, first..end)? };
                measure_sources(&[(source, vec![a, b])], first as u64)
            };
            let found = parts(a.pieces(), &measure)?;
            absorb(&mut selections, found)?;
        }
        Ok(())
    })?;
    bench(&format!("{dtype} spread selection, 3 experts"), 4 * size, &mut || {
        let mut selections = [Selection::of_nonzero(N, 0.5, 16 << 20)];
        while let [Some(pass)] = selections.each_ref().map(Selection::pass) {
            let measure = |first: usize, end: usize| {
                let experts = vec![part(1, first..end)?, part(2, first..end)?, part(3, first..end)?];
                measure_sources(&[(Source::Spread { base: part(0, first..end)?, experts }, vec![pass])], first as u64)
            };
            let found = parts(pass.pieces(), &measure)?;
            absorb(&mut selections, found)?;
        }
        Ok(())
    })?;
    let trim = braid_kernels::TileTrim { threshold: braid_kernels::magnitude(1e-6), ties: 1000 };
    bench(&format!("{dtype} bits by spread, 3 experts"), 4 * size, &mut || {
        (0..tiles).try_for_each(|tile| {
            let experts = vec![tile_of(1, tile)?, tile_of(2, tile)?, tile_of(3, tile)?];
            chosen(&Source::Spread { base: tile_of(0, tile)?, experts }, trim).map(drop)
        })
    })?;
    let bits = vec![0x5a5a_1234_9876_ffff; TILE / 64];
    bench(&format!("{dtype} energies of what is chosen, 3 experts"), 4 * size, &mut || {
        (0..tiles).try_for_each(|tile| {
            let experts = [tile_of(1, tile)?, tile_of(2, tile)?, tile_of(3, tile)?];
            energies(&tile_of(0, tile)?, &experts, Selected::Chosen(&bits)).map(drop)
        })
    })?;
    bench(&format!("{dtype} sce, 3 experts"), 5 * size, &mut || {
        for (tile, out) in out.chunks_mut(TILE * size).enumerate() {
            let experts = [tile_of(1, tile)?, tile_of(2, tile)?, tile_of(3, tile)?];
            let mut out = SliceMut::new(dtype, out)?;
            sce(&tile_of(0, tile)?, &experts, &[0.5, 0.3, 0.2], Selected::Chosen(&bits), Floor::MERGEKIT, &mut out)?;
        }
        Ok(())
    })?;
    for row in [1024, 4096] {
        bench(&format!("{dtype} bits by rank, rows of {row}"), 2 * size, &mut || {
            (0..tiles).try_for_each(|tile| {
                let piece = MaskedPiece { key: MaskKey::new(1, 1, "w"), first: (tile * TILE) as u64 };
                let chances = Chances { low: 0.35, high: 0.65 };
                ranked(&tile_of(0, tile)?, &tile_of(1, tile)?, row, 0..TILE, &chances, piece).map(drop)
            })
        })?;
    }
    bench(&format!("{dtype} l1 of what is chosen"), 2 * size, &mut || {
        (0..tiles)
            .try_for_each(|tile| l1(&tile_of(0, tile)?, &tile_of(1, tile)?, Keep::Chosen { bits: &bits, first: 0 }).map(drop))
    })?;
    bench(&format!("{dtype} scale"), 2 * size, &mut || {
        for (tile, out) in out.chunks_mut(TILE * size).enumerate() {
            scale(&tile_of(0, tile)?, 0.5, &mut SliceMut::new(dtype, out)?)?;
        }
        Ok(())
    })?;
    let target = if dtype == Dtype::F32 { Dtype::BF16 } else { Dtype::F32 };
    bench(&format!("{dtype} convert to {target}"), size + target.size(), &mut || {
        for (tile, out) in other.chunks_mut(TILE * target.size()).take(tiles).enumerate() {
            convert(&tile_of(0, tile)?, &mut SliceMut::new(target, out)?)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Of all tiles, or of the pieces of a sample.
fn parts(
    pieces: Option<Pieces>,
    measure: &dyn Fn(usize, usize) -> Result<Vec<Part>, KernelError>,
) -> Result<Vec<Vec<Part>>, KernelError> {
    match pieces {
        Some(pieces) => pieces.iter().map(|piece| measure(piece.start as usize, piece.end as usize)).collect(),
        None => (0..ELEMENTS).step_by(TILE).map(|first| measure(first, first + TILE)).collect(),
    }
}

/// Gives each selection its parts.
fn absorb(selections: &mut [Selection], found: Vec<Vec<Part>>) -> Result<(), KernelError> {
    let mut columns = found.into_iter().map(Vec::into_iter).collect::<Vec<_>>();
    selections.iter_mut().try_for_each(|selection| selection.absorb(columns.iter_mut().filter_map(Iterator::next).collect()))
}

/// Processor time of this thread: what other processes take does not count.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Weights of deviation 0.02, from which each model but the first differs by 0.001; both bell-shaped.
fn family(dtype: Dtype, model: u64) -> Vec<u8> {
    const PERIOD: usize = 1 << 16;
    let bell = |stream: u64| {
        let key = MaskKey::new(stream, 0, "throughput").words();
        (0..PERIOD as u32).map(move |i| {
            let words = braid_kernels::philox4x32([i, 0, 0, 0], key);
            words.iter().map(|w| *w as f32 / u32::MAX as f32 - 0.5).sum::<f32>() * 1.732
        })
    };
    let values: Vec<u8> = bell(0)
        .zip(bell(model))
        .flat_map(|(base, delta)| (base * 0.02 + if model == 0 { 0.0 } else { delta * 0.001 }).to_le_bytes())
        .collect();
    let mut out = vec![0u8; PERIOD * dtype.size()];
    if let (Ok(values), Ok(mut slice)) = (Slice::new(Dtype::F32, &values), SliceMut::new(dtype, &mut out)) {
        let _ = convert(&values, &mut slice);
    }
    out.repeat(ELEMENTS / PERIOD)
}
