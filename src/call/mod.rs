//! The call: the people, their peers, and what flows between them (sans-IO).
