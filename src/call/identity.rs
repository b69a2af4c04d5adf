//! Names that nobody guesses.

/// A name for a room that nobody guesses: 50 bits in ten letters without look-alikes.
pub fn fresh_room() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
        .iter()
        .map(|b| char::from(LETTERS[usize::from(b % 32)]))
        .collect()
}
