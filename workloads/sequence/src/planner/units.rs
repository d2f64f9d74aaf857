//! The units of a plan, as types: tokens, bytes, milliseconds, the degree of a group and the rank of a worker.

use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum, ops};

macro_rules! count {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

count! {
    /// A number of tokens.
    Tokens(u64)
}
count! {
    /// How many workers share a sequence: the size of a group.
    Degree(u32)
}
count! {
    /// The position of a worker in the whole job, from 0.
    Rank(u32)
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        Self(iter.map(|t| t.0).sum())
    }
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// From mebibytes, as profiles give them; rounded to a byte, nothing below zero.
    #[must_use]
    pub fn from_mib(mib: f64) -> Self {
        Self((mib * f64::from(1 << 20)).round().max(0.0) as u64)
    }

    /// In mebibytes.
    #[must_use]
    pub fn mib(self) -> f64 {
        self.0 as f64 / f64::from(1 << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.mib();
        if mib >= 1024.0 {
            write!(f, "{:.2} GiB", mib / 1024.0)
        } else if mib >= 1.0 {
            write!(f, "{mib:.1} MiB")
        } else {
            write!(f, "{} B", self.0)
        }
    }
}

/// A time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub f64);

impl Millis {
    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 / 1000.0
    }

    /// The later of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// How far this lies above a lower `bound`, as a share of the bound; 0 where the bound is 0.
    #[must_use]
    pub fn gap_to(self, bound: Self) -> f64 {
        if bound.0 > 0.0 { (self.0 / bound.0 - 1.0).max(0.0) } else { 0.0 }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0)
    }
}

impl ops::Add for Millis {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl ops::Sub for Millis {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Millis {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        Self(iter.map(|t| t.0).sum())
    }
}
