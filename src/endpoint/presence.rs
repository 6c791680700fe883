//! Whether the device can be reached: the windows of Queue Mode, PSM and eDRX (`protocol.md` 3.5, `device-lifecycle.md` 8).
//!
//! Every message of the device opens the window anew. After it, and after a request that stayed without answer, the
//! device counts as asleep: requests wait until it says something, but for one with which an eDRX device is paged.

use crate::platform::profile::{PowerMode, PowerSettings};

use super::*;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Presence {
    asleep: bool,
    /// The device was paged since its last message.
    paged: bool,
    last_heard: UnixMillis,
    /// Another endpoint is where the device was, and it has not said yet where it is.
    displaced: bool,
}

impl Presence {
    /// A device of which is not known when it was last awake.
    pub(super) fn asleep() -> Self {
        Self {
            asleep: true,
            ..Self::default()
        }
    }

    /// Another endpoint is where the device was, or nobody knows where it is until it says so.
    pub(super) const fn displace(&mut self) {
        self.displaced = true;
    }

    /// Notes a message of the device; whether that woke it up.
    fn heard(&mut self, at: UnixMillis) -> bool {
        self.last_heard = at;
        (self.paged, self.displaced) = (false, false);
        std::mem::take(&mut self.asleep)
    }

    /// Notes that the device sleeps; whether it was awake before.
    fn sleep(&mut self) -> bool {
        !std::mem::replace(&mut self.asleep, true)
    }

    /// Notes that a request leaves.
    pub(super) fn requested(&mut self) {
        self.paged |= self.asleep;
    }

    /// When the device last said something; 1970 when it has not since it registered.
    pub(super) const fn last_heard(&self) -> UnixMillis {
        self.last_heard
    }

    /// Whether the device sleeps.
    pub(super) const fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Whether another endpoint is where the device was.
    pub(super) const fn is_displaced(&self) -> bool {
        self.displaced
    }

    /// Whether a request may leave.
    pub(super) fn admits(&self, saving: PowerSaving) -> bool {
        if self.displaced {
            return false;
        }
        match saving {
            PowerSaving::Never => true,
            PowerSaving::QueueMode(_) | PowerSaving::Psm(_) => !self.asleep,
            PowerSaving::Edrx { .. } => !(self.asleep && self.paged),
        }
    }
}

/// How a device saves power, with its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PowerSaving {
    /// Not at all: it can always be reached.
    Never,
    /// As it registered, in Queue Mode.
    QueueMode(Duration),
    /// By PSM.
    Psm(Duration),
    /// By eDRX.
    Edrx {
        /// The paging transmission window.
        window: Duration,
        /// How long a request may take; `None`: as long as any.
        cycle: Option<Duration>,
    },
}

impl PowerSaving {
    /// What holds for a device. A power mode of the device's own leaves the profile's settings out; without one, each of
    /// its times goes before the profile's.
    fn of(
        device: &PowerSettings,
        profile: &PowerSettings,
        queue_mode: bool,
        windows: &AwakeWindows,
    ) -> Self {
        let profile = device.power_mode.is_none().then_some(profile);
        let time = |of: fn(&PowerSettings) -> Option<u64>| {
            let set = |settings| of(settings).filter(|millis| *millis > 0);
            let millis = set(device).or_else(|| set(profile?))?;
            Some(Duration::from_millis(millis))
        };
        let mode = device
            .power_mode
            .or_else(|| profile.and_then(|own| own.power_mode));
        match mode {
            Some(PowerMode::Psm) => {
                Self::Psm(time(|own| own.psm_activity_timer).unwrap_or(windows.psm))
            }
            Some(PowerMode::Edrx) => Self::Edrx {
                window: time(|own| own.paging_transmission_window).unwrap_or(windows.edrx),
                cycle: time(|own| own.edrx_cycle),
            },
            Some(PowerMode::Drx) | None if queue_mode => Self::QueueMode(windows.queue_mode),
            Some(PowerMode::Drx) | None => Self::Never,
        }
    }

    const fn window(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::QueueMode(window) | Self::Psm(window) | Self::Edrx { window, .. } => Some(window),
        }
    }

    /// How long a request may take, if this mode has a time of its own.
    pub(super) const fn request_timeout(self) -> Option<Duration> {
        match self {
            Self::Edrx { cycle, .. } => cycle,
            Self::Never | Self::QueueMode(_) | Self::Psm(_) => None,
        }
    }
}

impl Endpoint {
    /// How the device saves power by its registration, its profile and its own settings.
    pub(super) fn power_saving(&self) -> PowerSaving {
        self.registration
            .as_ref()
            .map_or(PowerSaving::Never, |own| {
                PowerSaving::of(
                    &own.power,
                    &own.profile.transport.client.power,
                    own.data.queue_mode,
                    &self.settings.awake_windows,
                )
            })
    }

    /// The device has said something: it is awake, and what was put off until then is asked for.
    pub(super) fn heard(&mut self, now: Now) {
        if self.is_heard_unconfirmed() {
            return;
        }
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        // A profile may state a window without end.
        let window = self.power_saving().window();
        match window.and_then(|window| now.mono.checked_add(window)) {
            Some(deadline) => self.timers.set(Timer::Sleep, deadline),
            None => self.timers.stop(Timer::Sleep),
        }
        let woke = self.presence.heard(now.wall);
        if woke {
            self.log(now, &session, text::AWAKE);
            self.want_attributes_again();
        }
        if std::mem::take(&mut self.wants_pending_rpc) || woke {
            self.outputs
                .push_back(Output::Uplink(Uplink::PendingRpcWanted { session }));
        }
    }

    /// Another endpoint registered from `peer` or moved there. What is sent there from now on would be carried out by
    /// the wrong device, so that requests wait until this one says where it is.
    pub fn handle_peer_taken(&mut self, now: Now, peer: PeerId) {
        let registered = self.registration.as_ref().map(|own| own.peer.clone());
        if let Some(own) = registered.filter(|own| own.id == peer) {
            self.presence.displace();
            self.wants_pending_rpc = true;
            self.exchanges.cancel_requests();
            self.handle_events(now, &own, None);
        }
        self.pump(now);
    }

    /// The device is out of reach, if it is one that sleeps.
    pub(super) fn fall_asleep(&mut self, now: Now) {
        let Some(registration) = &self.registration else {
            return;
        };
        if self.power_saving() == PowerSaving::Never {
            return;
        }
        let session = Arc::clone(&registration.session);
        if self.ota.keeps_awake() {
            let window = self.power_saving().window();
            if let Some(deadline) = window.and_then(|window| now.mono.checked_add(window)) {
                self.timers.set(Timer::Sleep, deadline);
            }
            return;
        }
        self.timers.stop(Timer::Sleep);
        if self.presence.sleep() {
            self.stats.asleep += 1;
            self.log(now, &session, text::SLEEPING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: AwakeWindows = AwakeWindows {
        queue_mode: Duration::from_secs(93),
        psm: Duration::from_secs(7),
        edrx: Duration::from_secs(8),
    };

    fn settings(mode: Option<PowerMode>, times: [Option<u64>; 3]) -> PowerSettings {
        let [psm_activity_timer, edrx_cycle, paging_transmission_window] = times;
        PowerSettings {
            power_mode: mode,
            psm_activity_timer,
            edrx_cycle,
            paging_transmission_window,
        }
    }

    fn saving(device: &PowerSettings, profile: &PowerSettings, queue_mode: bool) -> PowerSaving {
        PowerSaving::of(device, profile, queue_mode, &WINDOWS)
    }

    #[test]
    fn queue_mode_rules_devices_without_a_power_mode() {
        let none = PowerSettings::default();
        let drx = settings(Some(PowerMode::Drx), [None; 3]);
        let psm = settings(Some(PowerMode::Psm), [None; 3]);
        assert_eq!(saving(&none, &none, false), PowerSaving::Never);
        assert_eq!(
            saving(&none, &drx, true),
            PowerSaving::QueueMode(WINDOWS.queue_mode)
        );
        assert_eq!(saving(&none, &psm, true), PowerSaving::Psm(WINDOWS.psm));
        assert_eq!(
            saving(&drx, &psm, true),
            PowerSaving::QueueMode(WINDOWS.queue_mode)
        );
    }

    #[test]
    fn times_come_from_the_device_then_the_profile_then_the_server() {
        let seconds = Duration::from_secs;
        let profile = settings(
            Some(PowerMode::Edrx),
            [Some(1000), Some(81_000), Some(20_000)],
        );
        let own_time = settings(None, [None, Some(0), Some(5000)]);
        assert_eq!(
            saving(&own_time, &profile, false),
            PowerSaving::Edrx {
                window: seconds(5),
                cycle: Some(seconds(81))
            }
        );
        let own_mode = settings(Some(PowerMode::Edrx), [None; 3]);
        assert_eq!(
            saving(&own_mode, &profile, false),
            PowerSaving::Edrx {
                window: WINDOWS.edrx,
                cycle: None
            }
        );
        let psm = settings(Some(PowerMode::Psm), [Some(0), None, None]);
        assert_eq!(saving(&psm, &profile, false), PowerSaving::Psm(WINDOWS.psm));
    }

    #[test]
    fn an_edrx_device_is_paged_once_for_each_of_its_messages() {
        let edrx = PowerSaving::Edrx {
            window: WINDOWS.edrx,
            cycle: None,
        };
        let psm = PowerSaving::Psm(WINDOWS.psm);
        let mut presence = Presence::default();
        presence.requested();
        assert!(presence.sleep());
        assert!(!presence.sleep(), "it sleeps already");
        assert!(presence.admits(edrx) && !presence.admits(psm));
        presence.requested();
        assert!(!presence.admits(edrx));
        assert!(presence.admits(PowerSaving::Never));
        assert!(presence.heard(UnixMillis(1)));
        assert!(!presence.heard(UnixMillis(1)), "it is awake already");
        presence.sleep();
        assert!(presence.admits(edrx));
    }
}
