//! What is drawn against the text of the module, whole rows against rows in pieces, and each processor against the others.

use super::*;
use crate::convert::Float;
use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};
use crate::{Dtype, Mask};

const CHANCES: Chances = Chances { low: 0.35, high: 0.65 };

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The table of a row of these differences, seen in pieces. What it draws is what is drawn of the row when it is seen whole.
fn table(values: &[f32]) -> RankTable {
    let (zeros, values) = (vec![0; values.len() * 4], bytes(values));
    let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
    let (base, theta) = (slice(&zeros), slice(&values));
    let mut counts = RankCounts::default();
    let middle = base.len() / 3;
    for cut in [0..middle, middle..base.len()] {
        counts.add(&base.part(cut.clone()).unwrap(), &theta.part(cut).unwrap()).unwrap();
    }
    let table = counts.table(&CHANCES);
    let piece = MaskedPiece { key: MaskKey::new(3, 1, "w"), first: 77 };
    for own in [0..base.len(), middle / 2..middle + 1] {
        let [base_part, theta_part] = [base, theta].map(|slice| slice.part(own.clone()).unwrap());
        let mut expected = vec![0; own.len().div_ceil(64)];
        table.choose(&base_part, &theta_part, piece, &mut expected, 0).unwrap();
        assert_eq!(ranked(&base, &theta, base.len(), own, &CHANCES, piece).unwrap(), expected, "whole and in pieces");
    }
    table
}

/// The chance of a value.
fn chance(table: &RankTable, value: f32) -> f64 {
    let mut places = [0];
    steps::find(floats(Float::F32, &[0; 4]), floats(Float::F32, &value.to_le_bytes()), &mut places);
    table.places(&mut places);
    f64::from(table.chance(places[0])) / 4_294_967_296.0
}

#[test]
fn chances_grow_with_the_rank() {
    let values = [4.0, -1.0, 2.0, 0.0, -8.0f32];
    let table = table(&values);
    for (value, rank) in [(0.0, 0.0), (-1.0, 1.0), (2.0, 2.0), (4.0, 3.0), (-8.0, 4.0)] {
        assert!((chance(&table, value) - (0.35 + 0.3 * rank / 4.0)).abs() < 1e-8, "{value}");
    }
}

#[test]
fn equals_share_the_middle_and_single_elements_have_the_density() {
    let values = [1.0, -1.0, 1.0, 5.0f32];
    let table_of_four = table(&values);
    assert!((chance(&table_of_four, 1.0) - (0.35 + 0.3 / 3.0)).abs() < 1e-8, "the middle of ranks 0, 1 and 2");
    assert!((chance(&table_of_four, 5.0) - 0.65).abs() < 1e-8);
    assert!((chance(&table(&[7.0]), 7.0) - 0.5).abs() < 1e-8);
    assert!((chance(&table(&[0.0; 9]), 0.0) - 0.5).abs() < 1e-8);
}

#[test]
fn the_mean_of_all_chances_is_the_density() {
    for values in [
        (1..=5000).map(|n| (n as f32).sqrt()).collect::<Vec<_>>(),
        (0..3000).map(|n| if n % 3 == 0 { 0.0 } else { (n % 7) as f32 }).collect(),
        vec![f32::INFINITY, 1.0, 2.0, 1e-30, -1e-38, 0.0],
        vec![f32::INFINITY, f32::NEG_INFINITY],
    ] {
        let table = table(&values);
        let mean = values.iter().map(|value| chance(&table, *value)).sum::<f64>() / values.len() as f64;
        assert!((mean - 0.5).abs() < 1e-6, "{mean}");
    }
}

#[test]
fn what_stays_is_drawn_with_the_chance_of_its_element() {
    const N: usize = 1 << 18;
    let values: Vec<f32> = (0..N).map(|n| ((n * 7919) % N) as f32 + 1.0).collect();
    let table = table(&values);
    let (zeros, bytes) = (vec![0; N * 4], bytes(&values));
    let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
    let key = MaskKey::new(3, 1, "w");
    let mut bits = vec![0; N.div_ceil(64) + 1];
    table.choose(&slice(&zeros), &slice(&bytes), MaskedPiece { key, first: 640 }, &mut bits, 5).unwrap();
    let stays = |n: usize| bits[(n + 5) / 64] >> ((n + 5) % 64) & 1 == 1;
    for (part, expected) in [(0.0..0.1, 0.365), (0.45..0.55, 0.5), (0.9..1.0, 0.635)] {
        let of_part: Vec<usize> = (0..N).filter(|n| part.contains(&(f64::from(values[*n]) / N as f64))).collect();
        let share = of_part.iter().filter(|n| stays(**n)).count() as f64 / of_part.len() as f64;
        assert!((share - expected).abs() < 5.0 * (0.25 / of_part.len() as f64).sqrt() + 0.002, "{part:?}: {share}");
    }
    for n in [0, 1, 77, N - 1] {
        let mask = Mask::new(key, chance(&table, values[n]));
        assert_eq!(stays(n), mask.keeps(640 + n as u64), "the word of its element");
    }
    let short = table.choose(&slice(&zeros), &slice(&bytes), MaskedPiece { key, first: 0 }, &mut bits[..9], 0);
    assert!(matches!(short, Err(KernelError::OutOfRange { .. })));
}

#[test]
fn what_is_no_number_stays() {
    let values: Vec<f32> = (0..300).map(|n| if n % 7 == 2 { f32::NAN } else { n as f32 }).collect();
    let (zeros, values) = (vec![0; 1200], bytes(&values));
    let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
    let piece = MaskedPiece { key: MaskKey::new(3, 1, "w"), first: 0 };
    let never = Chances { low: 0.0, high: 0.0 };
    for own in [0..300, 33..200] {
        let bits = ranked(&slice(&zeros), &slice(&values), 60, own.clone(), &never, piece).unwrap();
        for (bit, element) in own.enumerate() {
            assert_eq!(bits[bit / 64] >> (bit % 64) & 1 == 1, element % 7 == 2, "{element}");
        }
    }
}

#[test]
fn rows_that_are_not_whole_are_refused() {
    let zeros = [0; 40];
    let slice = Slice::new(Dtype::F32, &zeros).unwrap();
    let piece = MaskedPiece { key: MaskKey::new(3, 1, "w"), first: 0 };
    let of = |row, own| ranked(&slice, &slice, row, own, &CHANCES, piece).unwrap_err();
    assert!(matches!(of(3, 0..10), KernelError::LengthMismatch { expected: 3, found: 10, .. }));
    assert!(matches!(of(0, 0..10), KernelError::LengthMismatch { .. }));
    assert_eq!(of(5, 4..11), KernelError::OutOfRange { first: 4, end: 11, length: 10 });
}

#[test]
fn every_processor_gives_the_same_bits() {
    let piece = MaskedPiece { key: MaskKey::new(1, 2, "w"), first: 17 };
    for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
        let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
        let (base, theta) = (floats(kind, &a), floats(kind, &b));
        type Steps = fn(Floats<'_>, Floats<'_>, &mut [u16]) -> Seen;
        let versions: [Steps; 3] = [steps::find, steps_avx2, dispatch_steps];
        let mut counts = RankCounts::default();
        assert_same(
            versions.map(|version| {
                let mut steps = vec![0; numel];
                let seen = version(base, theta, &mut steps);
                counts.count(&steps);
                (seen, steps)
            }),
            (kind, numel),
        );
        let table = counts.table(&CHANCES);
        type Choose = fn(Floats<'_>, Floats<'_>, &RankTable, MaskedPiece, &mut [u64], usize);
        let versions: [Choose; 3] = [choose_body, choose_avx2, dispatch_choose];
        assert_same(
            versions.map(|version| {
                let mut bits = vec![0; numel.div_ceil(64) + 1];
                version(base, theta, &table, piece, &mut bits, 3);
                bits
            }),
            (kind, numel),
        );
        for row in [numel, 7, 63].into_iter().filter(|row| *row > 0) {
            let whole = numel - numel % row;
            let own = whole / 5..whole - whole / 9;
            let rows = Rows { base: base.part(&(0..whole)), theta: theta.part(&(0..whole)), row, own };
            type Whole = fn(&Rows<'_>, &Chances, MaskedPiece, &mut [u64]);
            let versions: [Whole; 3] = [rows_body, rows_avx2, dispatch_rows];
            assert_same(
                versions.map(|version| {
                    let mut bits = vec![0; rows.own.len().div_ceil(64)];
                    version(&rows, &CHANCES, piece, &mut bits);
                    bits
                }),
                (kind, numel, row),
            );
        }
    }
}
