//! Compiles the .proto files with protox, so that no protoc is needed on the machine, and lists their calls.

use std::{env, fs, path::Path};

/// Served by a worker to its own task, over a socket that only this can open: no coordinator has a say in who calls.
const LOCAL: [&str; 1] = ["Mixture"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=braid");
    let sources = [
        "braid/v1/fleet.proto",
        "braid/v1/jobs.proto",
        "braid/v1/mixture.proto",
        "braid/v1/plan.proto",
        "braid/v1/security.proto",
        "braid/v1/worker.proto",
    ];
    let files = protox::compile(sources, ["."])?;
    let mut calls = String::from("&[\n");
    for file in &files.file {
        for service in file.service.iter().filter(|service| !LOCAL.contains(&service.name())) {
            for method in &service.method {
                calls += &format!("    \"/{}.{}/{}\",\n", file.package(), service.name(), method.name());
            }
        }
    }
    calls += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("calls.rs"), calls)?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
