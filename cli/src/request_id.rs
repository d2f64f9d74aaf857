//! Names for requests, so that one sent twice makes one job.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// A name that nobody else chooses. The standard library's hash keys come from the operating system's randomness,
/// fresh for each process, and differ between two of them; the time and the process tell apart what hash keys might not.
pub(crate) fn random() -> String {
    let word = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    format!("{:016x}{:016x}", word(0), word(1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_equal() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| super::random()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
