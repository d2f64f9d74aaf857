//! Holds the kernels against their CPU forms on every GPU of this machine, each case on a fresh stream; or measures them.
//!
//! `gpu-check [--quick | --measure | --measure-small | --storage FOLDER | --gather RANK SIZE FILE SECONDS]`: `--quick` runs the cases that
//! take little time under compute-sanitizer; `--storage` has GPUs read a file in a folder by themselves; `--gather` is one rank of several
//! that gather over NCCL on the first GPU, and find each other by a file. Ends with 1 where a case fails, and with 3 where there is no GPU
//! to check.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod gather;

use std::{panic, path::Path, process::ExitCode};

use braid_gpu::{Accelerator, Device, GpuError, Lane, Storage};
use braid_gpu_check::{CASES, PRODUCT_CASES, Report, Size, files_are_read_where_they_begin, measure};

/// Cases that are small.
const QUICK: [&str; 6] = [
    "ties stay from the front",
    "elements that are all alike are ties",
    "an arc gives the same bytes",
    "the first that is not a number is named",
    "tensors that do not fit are refused",
    "large scores do not overflow",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let on_each = match arguments.get(1).map(String::as_str) {
        Some("--gather") => match gather::Rank::parse(&arguments[2..]) {
            Some(rank) => rank.run().map(|()| 0),
            None => {
                eprintln!("gpu-check: --gather RANK SIZE FILE SECONDS");
                return ExitCode::from(2);
            }
        },
        Some("--storage") => match arguments.get(2) {
            Some(folder) => on_devices(|device| storage(device, Path::new(folder))),
            None => {
                eprintln!("gpu-check: --storage FOLDER");
                return ExitCode::from(2);
            }
        },
        None => on_devices(|device| Ok(check(device, false))),
        Some("--quick") => on_devices(|device| Ok(check(device, true))),
        Some("--measure") => on_devices(|device| table(device, Size::LARGE)),
        Some("--measure-small") => on_devices(|device| table(device, Size::SMALL)),
        Some(other) => {
            eprintln!(
                "gpu-check: unknown argument {other}; there are --quick, --measure, --measure-small, --storage and --gather"
            );
            return ExitCode::from(2);
        }
    };
    match on_each {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gpu-check: {error}");
            ExitCode::from(3)
        }
    }
}

/// The sum of what `work` counts on each GPU.
fn on_devices(work: impl Fn(&Device) -> Result<usize, GpuError>) -> Result<usize, GpuError> {
    (0..Device::count()?).map(|ordinal| work(&Device::open(ordinal)?)).sum()
}

/// How many cases fail.
fn check(device: &Device, quick: bool) -> usize {
    let mut failed = 0;
    let products = device.has_products().map_or_else(
        |error| {
            println!("{}: what needs matrix products is left out: {error}", device.description().name);
            &[][..]
        },
        |()| &PRODUCT_CASES[..],
    );
    for (name, case) in CASES.iter().chain(products).filter(|(name, _)| !quick || QUICK.contains(name)) {
        let held = Lane::new(device).map(|mut lane| {
            // a lane that a failed case leaves behind is not used again
            panic::catch_unwind(panic::AssertUnwindSafe(|| case(&mut lane))).is_ok()
        });
        let said = match &held {
            Ok(true) => "ok".to_owned(),
            Ok(false) => "FAILED".to_owned(),
            Err(error) => format!("FAILED: {error}"),
        };
        println!("{}: {name}: {said}", device.description().name);
        failed += usize::from(held != Ok(true));
    }
    failed
}

/// Whether it fails to read a file by itself, as 1; it may be that this machine has no way, which is an error.
fn storage(device: &Device, folder: &Path) -> Result<usize, GpuError> {
    let storage = Storage::cufile()?;
    let mut lane = Lane::new(device)?;
    let read = panic::AssertUnwindSafe(|| files_are_read_where_they_begin(&mut lane, &storage, folder));
    let held = panic::catch_unwind(read).ok().transpose()?.is_some();
    let said = if held { "ok" } else { "FAILED" };
    println!("{}: files are read where they begin: {said}", device.description().name);
    Ok(usize::from(!held))
}

/// Prints what was measured, each beside the copy and the matrix product of the same run.
fn table(device: &Device, size: Size) -> Result<usize, GpuError> {
    let Report { copy, product, kernels } = measure(device, size)?;
    println!("{}\n", device.description().name);
    println!("| kernel | µs | GB/s | of the copy | TFLOP/s | of the product |\n|---|---:|---:|---:|---:|---:|");
    let some = |counts: bool, text: String| if counts { text } else { "–".to_owned() };
    for measured in [&copy].into_iter().chain(&product).chain(&kernels) {
        let (moves, counts) = (measured.bytes > 0, measured.operations > 0);
        let columns = [
            format!("{:.1}", measured.time.as_secs_f64() * 1e6),
            some(moves, format!("{:.0}", measured.rate())),
            some(moves, format!("{:.0} %", measured.rate() / copy.rate() * 100.0)),
            some(counts, format!("{:.1}", measured.speed())),
            match &product {
                Ok(product) if counts => format!("{:.0} %", measured.speed() / product.speed() * 100.0),
                _ => "–".to_owned(),
            },
        ];
        println!("| {} | {} |", measured.name, columns.join(" | "));
    }
    match product {
        Ok(_) => println!(),
        Err(error) => println!("\nNo matrix product to compare with: {error}\n"),
    }
    Ok(0)
}
