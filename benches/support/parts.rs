//! Which parts of a bench are run.

/// The parts named on the command line; all of them where none is.
pub struct Parts(Vec<String>);

impl Parts {
    pub fn of_args() -> Self {
        // Cargo's own `--bench` is among them.
        Self(
            std::env::args()
                .skip(1)
                .filter(|arg| !arg.starts_with("--"))
                .collect(),
        )
    }

    pub fn has(&self, part: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|named| named == part)
    }
}
