//! Holds the kernels against their CPU forms on every GPU of this machine, each case on a fresh stream; or measures them.
//!
//! `gpu-check [--quick | --measure | --measure-small | --gather RANK SIZE FILE SECONDS]`: `--quick` runs the cases that take little time under compute-sanitizer; `--gather` is
//! one rank of several that gather over NCCL on the first GPU, and find each other by a file. Ends with 1 where a case fails, and with 3 where there is no GPU to check.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod gather;

use std::{panic, process::ExitCode};

use braid_gpu::{Accelerator, Device, GpuError, Lane};
use braid_gpu_check::{CASES, Size, measure};

/// Cases that are small.
const QUICK: [&str; 5] = [
    "ties stay from the front",
    "elements that are all alike are ties",
    "an arc gives the same bytes",
    "the first that is not a number is named",
    "tensors that do not fit are refused",
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
        None => on_devices(|device| Ok(check(device, false))),
        Some("--quick") => on_devices(|device| Ok(check(device, true))),
        Some("--measure") => on_devices(|device| table(device, Size::LARGE)),
        Some("--measure-small") => on_devices(|device| table(device, Size::SMALL)),
        Some(other) => {
            eprintln!("gpu-check: unknown argument {other}; there are --quick, --measure, --measure-small and --gather");
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
    for (name, case) in CASES.iter().filter(|(name, _)| !quick || QUICK.contains(name)) {
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

/// Prints what was measured, each beside the copy of the same run.
fn table(device: &Device, size: Size) -> Result<usize, GpuError> {
    let all = measure(device, size)?;
    println!("{}\n", device.description().name);
    println!("| kernel | µs | GB/s | of the copy |\n|---|---:|---:|---:|");
    for measured in &all {
        let share = measured.rate() / all[0].rate() * 100.0;
        let micros = measured.time.as_secs_f64() * 1e6;
        println!("| {} | {micros:.1} | {:.0} | {share:.0} % |", measured.name, measured.rate());
    }
    println!();
    Ok(0)
}
