//! How a call begins: everything that it needs, opened in the order in which it can fail.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{CallOptions, Driver, Interface, Place, join};
use crate::call::targets::MAX_TARGETS;
use crate::call::{Call, CallConfig};
use crate::io::clock;
use crate::io::encode::Encoding;
use crate::io::error::CallError;
use crate::io::front::{EchoFront, Front, Happening, HeadlessFront, TerminalFront};
use crate::io::interfaces::Watch;
use crate::io::meet::Meeting;
use crate::io::screen;
use crate::io::servers::Servers;
use crate::io::signals::Signals;
use crate::io::socket;
use crate::io::sound::{self, MicSource, SoundConfig};
use crate::io::source::{self, CameraSource};
use crate::io::terminal::Terminal;
use crate::io::udp::Udp;
use crate::ui::Ui;
use crate::ui::state::{Me, State};

/// Encoded pictures that may wait: two of each encoder.
const ENCODED: usize = 2 * MAX_TARGETS;

/// Voice packets and notices that may wait.
const SOUNDS: usize = 64;

/// What decoders have to say.
const DECODED: usize = 32;

impl Driver {
    /// Opens everything, and finds or opens the room.
    ///
    /// # Errors
    /// What cannot be opened.
    pub(super) async fn start(
        options: CallOptions,
        place: Place,
        log: Option<PathBuf>,
        epoch: Instant,
    ) -> Result<Self, CallError> {
        let (encoded_sender, encoded) = mpsc::channel(ENCODED);
        let (decode_events, decoded) = mpsc::channel(DECODED);
        let (sound_sender, sounds) = mpsc::channel(SOUNDS);
        let (source_sender, sources) = mpsc::channel(8);
        let encoding = Encoding::start(epoch, encoded_sender);
        let sound = sound::start(
            SoundConfig {
                mic: options.mic.clone(),
                speaker: options.speaker.clone(),
                mic_on: options.mic_on,
                echo_cancelled: options.echo_cancelled,
            },
            sound_sender,
        )?;
        // Before the addresses are looked at, so that no change is missed.
        let network = match Watch::new() {
            Ok(network) => Some(network),
            Err(error) => {
                tracing::warn!(%error, "changes of the network are not noticed");
                None
            }
        };
        let udp = Udp::bind().map_err(CallError::Udp)?;
        // Before the terminal is taken, so that no signal finds it without its restorer.
        let is_echo = options.interface == Interface::Echo;
        let signals = if is_echo {
            None
        } else {
            let has_terminal = matches!(options.interface, Interface::Terminal(_));
            Some(Signals::new(has_terminal).map_err(CallError::Signals)?)
        };
        let mut front = open_front(&options, &encoding, log, epoch)?;
        let mut outputs = vec![encoding.pictures()];
        outputs.extend(front.own());
        let (camera, on) = (options.camera.clone(), options.camera_on);
        let source = source::start(camera, on, options.fps, outputs, source_sender)?;
        let meeting = match (place, &options.server) {
            (Place::Known(meeting), _) => *meeting,
            (Place::ByOptions, Some(server)) => Meeting::named(server.clone(), &options.room),
            (Place::ByOptions, None) => Meeting::found_or_opened(&options.room).await?,
        };
        let key = socket::new_key();
        let socket = socket::connect(join(&options, &meeting.server, &key));
        let config = CallConfig {
            name: options.name.clone(),
            codecs: options.codecs.clone(),
            max_bitrate: options.max_bitrate,
            fps: options.fps,
            mic_on: options.mic_on,
            camera_on: options.camera_on,
            ice_servers: options.ice_servers.clone(),
            ice_policy: options.ice_policy,
        };
        let call = Call::new(config, udp.addresses());
        let now = clock::now();
        if meeting.hosted && !is_echo {
            front.handle(&Happening::Serving(&meeting.invite), now);
        }
        let wants = front.handle(&Happening::Invite(&meeting.invite), now);
        let (mic_on, camera_on) = (options.mic_on, options.camera_on);
        let is_headless = matches!(options.interface, Interface::Headless { .. });
        Ok(Self {
            epoch,
            call,
            udp,
            network,
            servers: Servers::default(),
            meeting,
            socket,
            key,
            front,
            signals,
            encoding,
            encoded,
            decoders: BTreeMap::new(),
            decode_events,
            decoded,
            sound,
            sounds,
            source,
            sources,
            voices: BTreeMap::new(),
            sizes: BTreeMap::new(),
            wants,
            mic_on,
            camera_on,
            // What is too long for the clock never comes.
            ends: options.duration.and_then(|duration| epoch.checked_add(duration)),
            second: is_headless.then(|| now + Duration::from_secs(1)),
            received: false,
            refused: None,
            connected_once: false,
            no_path: None,
            reason: None,
            options,
        })
    }
}

fn open_front(
    options: &CallOptions,
    encoding: &Encoding,
    log: Option<PathBuf>,
    epoch: Instant,
) -> Result<Front, CallError> {
    match &options.interface {
        Interface::Echo => Ok(Front::Echo(Box::new(EchoFront::new(encoding.pictures())))),
        Interface::Headless { screen } => {
            let commands = options.camera != CameraSource::Y4mStdin;
            HeadlessFront::start(&options.room, screen, commands, options.fps, epoch)
                .map(|front| Front::Headless(Box::new(front)))
                .map_err(|error| CallError::PictureFile(error, screen.clone()))
        }
        Interface::Terminal(config) => {
            let terminal = Terminal::enter(log.as_deref())?;
            let screen = screen::start(*config)?;
            let replies = screen.replies();
            let keys = terminal.read_keys(move |reply, at| replies.put(reply, at))?;
            let me = Me {
                name: options.name.clone(),
                has_mic: options.mic != MicSource::None,
                mic_on: options.mic_on,
                has_camera: options.camera != CameraSource::None,
                camera_on: options.camera_on,
                ..Me::default()
            };
            let mut state = State::new(&options.room, me, terminal.size(), clock::now());
            state.by_code = options.by_code;
            Ok(Front::Terminal(Box::new(TerminalFront::new(
                Ui::new(state),
                screen,
                terminal,
                keys,
                options.fps,
            ))))
        }
    }
}
