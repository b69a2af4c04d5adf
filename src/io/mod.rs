//! Everything that touches the world: clock, threads, sockets, devices, the terminal.

#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
pub mod camera;
pub mod clock;
pub mod decode;
pub mod demo;
pub mod devices;
#[cfg(unix)]
pub mod doctor;
pub mod drive;
pub mod encode;
pub mod error;
pub mod front;
pub mod headless;
pub mod interfaces;
pub mod lan;
pub mod meet;
pub mod page;
#[cfg(unix)]
pub mod play;
#[cfg(unix)]
pub mod screen;
pub mod serve;
pub mod servers;
#[cfg(unix)]
pub mod signals;
pub mod slot;
pub mod socket;
pub mod sound;
pub mod source;
#[cfg(unix)]
pub mod terminal;
mod tls;
pub mod udp;
