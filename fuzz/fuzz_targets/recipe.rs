//! A recipe from a stranger: refused with a message, or read; never a panic.

#![no_main]

use braid_merge::recipe::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Recipe::parse(text, "recipe.yml") {
        Ok(recipe) => assert!(!recipe.models.is_empty()),
        Err(error) => assert!(error.to_string().starts_with("recipe.yml")),
    }
});
