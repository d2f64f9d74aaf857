//! A file of recipes from a stranger: refused with a message, or read; never a panic.

#![no_main]

use braid_merge::recipe::Stages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Stages::parse(text, "recipe.yml") {
        Ok(stages) => assert!(stages.all().iter().all(|stage| !stage.recipe.models.is_empty())),
        Err(error) => assert!(error.to_string().starts_with("recipe.yml")),
    }
});
