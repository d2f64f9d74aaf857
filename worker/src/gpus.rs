//! The GPUs that a worker offers: as a person says it, `8xH100`, or as the driver does. Not who uses which.

mod nvml;

pub use nvml::{NoGpus, SeenGpu, SeenGpus};

use std::str::FromStr;

/// GPUs of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// How many.
    pub count: u32,
    /// Their name; empty when it does not matter.
    pub kind: String,
    /// Bytes of memory of each; 0 when unknown.
    pub memory: u64,
}

impl Gpus {
    /// What CUDA calls each of them: what `CUDA_VISIBLE_DEVICES` lists where it is set (a batch system's part of a node), else
    /// their numbers from 0.
    pub fn names(&self, visible: Option<&str>) -> Vec<String> {
        let listed: Vec<&str> = visible.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        (0..self.count as usize)
            .map(|place| listed.get(place).map_or_else(|| place.to_string(), |name| (*name).to_owned()))
            .collect()
    }
}

/// A text that names no GPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a number of GPUs such as 8, or 8xH100 with their kind")]
pub struct GpusError;

impl FromStr for Gpus {
    type Err = GpusError;

    fn from_str(text: &str) -> Result<Self, GpusError> {
        let (count, kind) = text.split_once('x').map_or((text, None), |(count, kind)| (count, Some(kind.trim())));
        let count = count.trim().parse().map_err(|_| GpusError)?;
        if kind.is_some_and(|kind| kind.is_empty() || kind.chars().any(char::is_control)) {
            return Err(GpusError);
        }
        Ok(Self { count, kind: kind.unwrap_or_default().to_owned(), memory: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_have_the_names_that_cuda_knows() {
        let two: Gpus = "2".parse().unwrap();
        assert_eq!(two.names(None), ["0", "1"]);
        assert_eq!(two.names(Some("4, 6,7")), ["4", "6"]);
        assert_eq!(two.names(Some("GPU-8932f937")), ["GPU-8932f937", "1"]);
    }

    #[test]
    fn gpus_are_a_number_and_perhaps_a_kind() {
        let cases = [("8", 8, ""), ("0", 0, ""), ("8xH100", 8, "H100"), ("2xNVIDIA RTX 6000", 2, "NVIDIA RTX 6000")];
        for (text, count, kind) in cases {
            assert_eq!(text.parse(), Ok(Gpus { count, kind: kind.into(), memory: 0 }), "{text}");
        }
        for text in ["", "x", "xH100", "8x", "H100", "-1", "99999999999", "8x\n"] {
            assert_eq!(text.parse::<Gpus>(), Err(GpusError), "{text:?}");
        }
    }
}
