//! Setting up: the messages of the WebSocket, the server's rooms, and its STUN and TURN (sans-IO).

pub mod code;
pub mod guesses;
pub mod invite;
pub mod limits;
pub mod message;
pub mod relay;
pub mod rooms;
