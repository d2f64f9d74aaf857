//! Every merge of mergekit 0.1.5 that is kept in tests/data/goldens, made again by the command and compared.
//!
//! `tolerance` of a case is the largest difference allowed in a tensor, divided by the largest magnitude in it;
//! `identical` the least share of all elements that must have the same bits; `differing` the most that may be further off, none
//! if it is not given: for a method that takes one of two values by a threshold which mergekit computes in f32.

use crate::harness::{Scratch, Tensors, braid, goldens};
use std::{collections::BTreeMap, fs, path::Path};

/// What a case allows.
#[derive(Debug, Clone, serde::Deserialize)]
struct Case {
    tolerance: f64,
    identical: f64,
    #[serde(default)]
    differing: f64,
}

#[test]
fn merges_equal_those_of_mergekit() {
    let folder = goldens();
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let mut recipes: Vec<_> = fs::read_dir(folder.join("recipes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    recipes.sort();
    assert!(recipes.len() >= 20, "the recipes are there");
    let mut wrong = Vec::new();
    for recipe in &recipes {
        let name = recipe.file_stem().unwrap().to_str().unwrap();
        let case = cases.get(name).unwrap_or_else(|| panic!("{name} is not in cases.json"));
        if let Err(problem) = check(&folder, name, case) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), recipes.len(), wrong.join("\n"));
}

fn check(folder: &Path, name: &str, case: &Case) -> Result<(), String> {
    let scratch = Scratch::new();
    let out = scratch.join("out");
    let recipe = format!("recipes/{name}.yml");
    let run = braid(folder, ["merge", &recipe, out.to_str().unwrap(), "--threads", "2", "--quiet"]);
    if run.code != Some(0) {
        return Err(run.to_string());
    }
    let (ours, theirs) = (Tensors::read(&out), Tensors::read(&folder.join(format!("expected/{name}.safetensors"))));
    let names = |tensors: &Tensors| tensors.0.keys().cloned().collect::<Vec<_>>();
    if names(&ours) != names(&theirs) {
        return Err(format!("the tensors are {:?}, not {:?}", names(&ours), names(&theirs)));
    }
    let (mut same, mut all, mut differing) = (0, 0, 0);
    for (tensor, theirs) in &theirs.0 {
        let ours = &ours.0[tensor];
        if (ours.dtype, &ours.shape) != (theirs.dtype, &theirs.shape) {
            return Err(format!("{tensor} is {:?} {:?}, not {:?} {:?}", ours.dtype, ours.shape, theirs.dtype, theirs.shape));
        }
        let size = theirs.element();
        same += ours.bytes.chunks(size).zip(theirs.bytes.chunks(size)).filter(|(a, b)| a == b).count();
        all += theirs.bytes.len() / size;
        let (a, b) = (ours.values(), theirs.values());
        let most = b.iter().fold(0.0, |most: f64, b| most.max(b.abs()));
        let off = a.iter().zip(&b).fold(0.0, |off: f64, (a, b)| off.max((a - b).abs()));
        differing += a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > case.tolerance * most).count();
        // Written so that a NaN on our side counts as wrong.
        if !a.iter().all(|a| a.is_finite()) || (case.differing == 0.0 && off > case.tolerance * most) {
            return Err(format!("{tensor} is off by {:e} of its largest element, {:e} is allowed", off / most, case.tolerance));
        }
    }
    let share = differing as f64 / all as f64;
    if share > case.differing {
        return Err(format!("{share:.5} of all elements differ, {} may", case.differing));
    }
    let share = same as f64 / all as f64;
    if share < case.identical {
        return Err(format!("{share:.5} of all elements have the same bits, {} should", case.identical));
    }
    Ok(())
}
