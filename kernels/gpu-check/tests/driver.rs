//! The whole way through the driver's library, which is one without a GPU: `gpu-check` as it runs on a GPU, and on what is none.

// clippy.toml allows these in tests, which it takes the helpers of an integration test not to be.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use braid_gpu::shim;

/// The driver, and cuBLAS beside it.
static LIBRARIES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver-and-blas");
    fs::create_dir_all(&folder).unwrap();
    shim::build_driver(&folder).unwrap();
    shim::build_blas(&folder).unwrap();
    folder
});

static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
    fs::create_dir_all(&folder).unwrap();
    shim::build_driver(&folder).unwrap();
    folder
});

fn check(libraries: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_gpu-check"))
        .env("LD_LIBRARY_PATH", libraries)
        .envs(variables.iter().copied())
        .args(arguments)
        .output();
    let Output { status, stdout, stderr } = run.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

#[test]
fn every_case_passes_through_the_driver() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_GPUS", "1")], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches(": ok\n").count(), braid_gpu_check::CASES.len(), "{text}");
}

#[test]
fn products_are_those_of_the_library_named_cublas() {
    let (code, text) = check(&LIBRARIES, &[], &[]);
    assert_eq!(code, Some(0), "{text}");
    let all = braid_gpu_check::CASES.len() + braid_gpu_check::PRODUCT_CASES.len();
    assert_eq!(text.matches(": ok\n").count(), all, "{text}");

    let (code, text) = check(&LIBRARIES, &[("BRAID_FAKE_PRODUCTS", "0")], &["--quick"]);
    assert_eq!(code, Some(1), "{text}");
    let said =
        r#"Blas { device: "GPU 0 (fake)", problem: "cublasGemmStridedBatchedEx: the GPU program failed to execute (13)" }"#;
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_library_of_products_that_is_missing_or_broken_is_said_so() {
    let (code, text) = check(&DRIVER, &[], &["--quick"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("is left out: cuBLAS cannot be loaded (libcublas.so.13: "), "{text}");
    let folder = tempfile::tempdir().unwrap();
    shim::build_driver(folder.path()).unwrap();
    shim::compile("stranger.cpp", &["-shared", "-fPIC"], &folder.path().join("libcublas.so.13")).unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("is left out: libcublas is broken or too old: it has no cublasCreate_v2\n"), "{text}");
}

#[test]
fn what_is_no_gpu_is_said_so() {
    let said = |variables, expected: &str| {
        let (code, text) = check(&DRIVER, variables, &["--quick"]);
        assert_eq!((code, text.as_str()), (Some(3), format!("gpu-check: {expected}\n").as_str()));
    };
    said(&[("BRAID_FAKE_GPUS", "0")], "the driver shows no such GPU; is CUDA_VISIBLE_DEVICES set to none?");
    said(&[("BRAID_FAKE_CUDA", "12040")], "the driver is one of CUDA 12.4, and CUDA 13.0 is needed: driver 580 or newer");
    said(
        &[("BRAID_FAKE_ARCHITECTURE", "7")],
        "GPU 0 (fake) is of architecture 7.0, and there are kernels for 8.0 and newer alone",
    );
}

#[test]
fn a_driver_that_is_missing_or_broken_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("gpu-check: libcuda cannot be loaded (libcuda.so.1: "), "{text}");
    assert!(text.ends_with("there is no driver of NVIDIA here, or it is not where libraries are looked for\n"), "{text}");

    fs::write(folder.path().join("libcuda.so.1"), "no library at all").unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("file too short") || text.contains("invalid ELF header"), "{text}");

    // a library, but of something else
    shim::compile("stranger.cpp", &["-shared", "-fPIC"], &folder.path().join("libcuda.so.1")).unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!((code, text.as_str()), (Some(3), "gpu-check: libcuda is broken or too old: it has no cuInit\n"));
}

/// Lost after some launches: cases from then on fail, each with what the driver said, and the program ends as it should.
#[test]
fn a_gpu_that_is_lost_fails_its_cases() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_LAUNCHES", "2")], &["--quick"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(r#"Lost { device: "GPU 0 (fake)", problem: "cuLaunchKernel: unspecified launch failure (719)" }"#),
        "{text}"
    );
    assert!(text.contains("FAILED\n"), "{text}");
}

#[test]
fn memory_that_is_short_is_said_so() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_MEMORY", "100000")], &["--quick"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("OutOfMemory { device: \"GPU 0 (fake)\""), "{text}");
}

/// What the figures are is nobody's business here: that there are all of them is, and what they are held against.
#[test]
fn what_is_measured_on_a_gpu_runs() {
    for (libraries, ceiling) in [(&*LIBRARIES, true), (&*DRIVER, false)] {
        let (code, text) = check(libraries, &[], &["--measure-small"]);
        assert_eq!(code, Some(0), "{text}");
        let table: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| kernel"))
            .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert!(table.iter().all(|row| row.len() == 6), "{text}");
        let count = |column: usize| table.iter().filter(|row| row[column].ends_with('%')).count();
        let of_product = if ceiling { 7 } else { 0 };
        assert_eq!(
            (table.len(), count(3), count(5)),
            if ceiling { (13, 12, of_product) } else { (11, 11, of_product) },
            "{text}"
        );
        assert_eq!(text.contains("No matrix product to compare with: cuBLAS cannot be loaded"), !ceiling, "{text}");
        let product = table.iter().find(|row| row[0] == "matrix product, bfloat16");
        assert_eq!(product.map(|row| row[5]), ceiling.then_some("100 %"), "{text}");
    }
}

/// By cuFile, which is none: whole blocks, read past the page cache, and why not where there is no way.
#[test]
fn files_are_read_by_the_library_named_cufile() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["--storage", scratch.path().to_str().unwrap()];
    shim::build_driver(folder.path()).unwrap();
    let (code, text) = check(folder.path(), &[], &arguments);
    assert_eq!(code, Some(3), "{text}");
    let said = "gpu-check: files are read through the processor's memory: cuFile cannot be used (libcufile.so: ";
    assert!(text.starts_with(said), "{text}");

    shim::build_cufile(folder.path()).unwrap();
    let (code, text) = check(folder.path(), &[], &arguments);
    assert_eq!((code, text.as_str()), (Some(0), "GPU 0 (fake): files are read where they begin: ok\n"));

    let (code, text) = check(folder.path(), &[("BRAID_FAKE_STORAGE", "none")], &arguments);
    let why = "cuFileDriverOpen: the module nvidia-fs of the kernel is not loaded (error 5010 of cuFile)";
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains(why), "{text}");

    let (code, text) = check(folder.path(), &[("BRAID_FAKE_READS", "3")], &arguments);
    assert_eq!(code, Some(1), "{text}");
    let why = "cuFileRead: there is no direct way from this storage to a GPU (error 5008 of cuFile)";
    assert!(text.contains(why) && text.contains(": FAILED\n"), "{text}");

    shim::compile("stranger.cpp", &["-shared", "-fPIC"], &folder.path().join("libcufile.so.0")).unwrap();
    let (code, text) = check(folder.path(), &[], &arguments);
    let why = "gpu-check: libcufile is broken or too old: it has no cuFileSetParameterBool\n";
    assert_eq!((code, text.as_str()), (Some(3), why));
    assert_eq!(check(&DRIVER, &[], &["--storage"]).0, Some(2));
}

#[test]
fn unknown_arguments_are_refused() {
    assert_eq!(check(&DRIVER, &[], &["--fast"]).0, Some(2));
}
