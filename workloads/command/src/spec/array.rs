//! The numbers of an array: `10` for 0 to 9, or `5-9`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, ops::RangeInclusive, str::FromStr};

/// The numbers for each of which a program runs; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    first: u32,
    last: u32,
}

impl Array {
    /// From `first` to `last`, both of them in it; `None` when that is nothing.
    pub fn new(first: u32, last: u32) -> Option<Self> {
        (first <= last && last < u32::MAX).then_some(Self { first, last })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.last - self.first + 1
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The numbers.
    pub fn indices(&self) -> RangeInclusive<u32> {
        self.first..=self.last
    }
}

impl FromStr for Array {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not an array: give how many there are, such as 100, or the first and the last, such as 5-9");
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (0, number(text)?.checked_sub(1).ok_or_else(wrong)?),
        };
        Self::new(first, last).ok_or_else(wrong)
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::Text::deserialize(deserializer)?.0.parse().map_err(de::Error::custom)
    }
}
