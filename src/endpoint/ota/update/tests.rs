use bytes::Bytes;
use uuid::Uuid;

use super::{
    super::{OtaSettings, PushSlots, firmware, software},
    *,
};

/// An update whose device runs `fw` `1`, and its surroundings.
struct Scene {
    now: Instant,
    settings: OtaSettings,
    slots: PushSlots,
    update: Update,
}

fn scene(object: &'static Object) -> Scene {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a base")]
    let now = Instant::now();
    let mut scene = Scene {
        now,
        settings: OtaSettings::default(),
        slots: PushSlots::new(0),
        update: Update::new(object),
    };
    scene.says(object.name, "fw");
    scene.says(object.version, "1");
    scene.says_number(object.state, 0);
    scene
}

impl Scene {
    fn act(&mut self, act: impl FnOnce(&mut Update, Instant, &Terms<'_>)) -> Vec<Action> {
        let terms = Terms {
            settings: &self.settings,
            slots: &self.slots,
            ready: true,
            strategy: 1,
            base: None,
            describes: false,
            secured: false,
            observed: [true; 2],
            jitter: 1000,
        };
        act(&mut self.update, self.now, &terms);
        std::iter::from_fn(|| self.update.poll_action()).collect()
    }

    fn says(&mut self, path: Path, text: &str) -> Vec<Action> {
        let value = Value::String(text.to_owned());
        self.act(|update, now, terms| update.value(now, &path, &value, terms))
    }

    fn says_number(&mut self, path: Path, number: i64) -> Vec<Action> {
        let value = Value::Integer(number);
        self.act(|update, now, terms| update.value(now, &path, &value, terms))
    }

    fn state(&mut self, number: i64) -> Vec<Action> {
        self.says_number(self.update.object.state, number)
    }

    fn result(&mut self, number: i64) -> Vec<Action> {
        self.says_number(self.update.object.result, number)
    }

    fn assign(&mut self, version: &str, ts: i64) -> Vec<Action> {
        let target = Target {
            title: "fw".to_owned(),
            version: version.to_owned(),
            ts: UnixMillis(ts),
            ..Target::default()
        };
        self.act(|update, now, terms| update.assign(now, target, terms))
    }

    fn found(&mut self) -> Vec<Action> {
        let info = PackageInfo {
            id: PackageId(Uuid::nil()),
            title: "fw".to_owned(),
            version: "2".to_owned(),
            file_name: String::new(),
        };
        self.act(|update, now, terms| update.package_found(now, Ok(info), terms));
        let bytes = Arc::new(Package::new(Bytes::from_static(b"package")));
        self.act(|update, now, terms| update.bytes_found(now, Ok(bytes), terms))
    }

    /// A package is on its way.
    fn pushing(&mut self) {
        assert_eq!(self.assign("2", 1), [Action::AskPackage]);
        assert_eq!(self.found(), [Action::Request(self.write())]);
    }

    fn write(&self) -> Step {
        Step::Write(Way::Push(self.update.object.package))
    }

    fn ends(&mut self, step: &Step, outcome: &Outcome) -> Vec<Action> {
        self.act(|update, now, terms| update.outcome(now, step, outcome, terms))
    }

    /// The device has the package and is to install it.
    fn installing(&mut self) {
        self.pushing();
        let (write, done) = (self.write(), Outcome::Done(Vec::new()));
        assert_eq!(self.ends(&write, &done), []);
        let ready = if self.update.object.uninstall.is_some() {
            3
        } else {
            2
        };
        let actions = self.state(ready);
        assert_eq!(actions.first(), Some(&Action::Request(Step::Execute)));
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.act(|update, now, terms| update.timeout(now, terms))
    }

    /// What is due next, and after how long.
    fn next(&mut self) -> (Duration, Vec<Action>) {
        let pause = self.update.poll_timeout().unwrap() - self.now;
        (pause, self.pass(pause))
    }
}

fn failed(text: &str) -> Action {
    Action::Report(Status::Failed, text.to_owned())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn attempts_are_5_30_and_120_seconds_apart() {
    let mut scene = scene(&firmware::OBJECT);
    scene.pushing();
    for pause in [5, 30, 120] {
        let write = scene.write();
        let lost = scene.ends(&write, &Outcome::Lost);
        let text = "Firmware Update Result: CONNECTION_LOST";
        assert_eq!(lost, [Action::Abandon, failed(text)]);
        assert_eq!(scene.next(), (SECOND * pause, vec![Action::AskPackage]));
        scene.found();
    }
    let write = scene.write();
    scene.ends(&write, &Outcome::Lost);
    assert_eq!(scene.update.poll_timeout(), None);
}

#[test]
fn a_device_that_is_busy_is_tried_again_and_one_that_refuses_is_not() {
    let mut scene = scene(&firmware::OBJECT);
    scene.pushing();
    let write = scene.write();
    scene.ends(&write, &Outcome::Refused(Code::SERVICE_UNAVAILABLE));
    assert!(scene.update.poll_timeout().is_some());
    scene.next();
    scene.found();
    let refused = scene.ends(&write, &Outcome::Refused(Code::UNSUPPORTED_CONTENT_FORMAT));
    let text = "Package write rejected: UNSUPPORTED_CONTENT_FORMAT(415)";
    assert!(refused.contains(&failed(text)), "{refused:?}");
    assert_eq!(scene.update.poll_timeout(), None);
}

#[test]
fn a_refused_command_to_install_is_repeated_twice() {
    let mut scene = scene(&firmware::OBJECT);
    scene.installing();
    let refused = Outcome::Refused(Code::METHOD_NOT_ALLOWED);
    for _ in 0..2 {
        assert_eq!(scene.ends(&Step::Execute, &refused), []);
        let again = vec![Action::Request(Step::Execute)];
        assert_eq!(scene.next(), (SECOND * 5, again));
    }
    let actions = scene.ends(&Step::Execute, &refused);
    assert_eq!(
        actions[0],
        failed("Update command rejected: METHOD_NOT_ALLOWED(405)")
    );
}

#[test]
fn a55_a_command_of_which_nobody_knows_the_fate_is_not_repeated() {
    let mut scene = scene(&firmware::OBJECT);
    scene.installing();
    assert_eq!(scene.ends(&Step::Execute, &Outcome::Lost), []);
    scene.update.registered();
    scene.state(2);
    assert_eq!(
        scene.act(|update, now, terms| update.resume(now, terms)),
        []
    );
    // One that never left is sent after the registration.
    scene.update.not_executed();
    let actions = scene.act(|update, now, terms| update.resume(now, terms));
    assert_eq!(actions, [Action::Request(Step::Execute)]);
}

#[test]
fn a55_a_refused_command_is_not_repeated_in_another_state() {
    let mut scene = scene(&firmware::OBJECT);
    scene.installing();
    scene.ends(&Step::Execute, &Outcome::Refused(Code::METHOD_NOT_ALLOWED));
    scene.state(0);
    assert_eq!(scene.next(), (SECOND * 5, Vec::new()));
}

#[test]
fn each_stage_has_an_end() {
    let mut pushing = scene(&firmware::OBJECT);
    pushing.pushing();
    let (limit, actions) = pushing.next();
    assert_eq!(limit, SECOND * 21_600);
    assert_eq!(actions[0], Action::Abandon);
    let mut installing = scene(&firmware::OBJECT);
    installing.installing();
    let (limit, actions) = installing.next();
    assert_eq!(limit, SECOND * 3600);
    assert_eq!(actions[0], failed("Update was not finished in time"));
    let mut silent = scene(&firmware::OBJECT);
    silent.pushing();
    let write = silent.write();
    silent.ends(&write, &Outcome::Done(Vec::new()));
    let (limit, actions) = silent.next();
    assert_eq!(limit, SECOND * 3600);
    assert_eq!(actions, [failed("Firmware Update Result: CONNECTION_LOST")]);
    assert_eq!(silent.next().0, SECOND * 5);
    let mut slow = scene(&firmware::OBJECT);
    slow.pushing();
    slow.ends(&write, &Outcome::Done(Vec::new()));
    slow.state(1);
    assert_eq!(slow.next().0, SECOND * 21_600, "it is at it");
}

#[test]
fn an_interrupted_push_is_given_30_seconds_and_then_begins_anew() {
    let mut scene = scene(&firmware::OBJECT);
    scene.pushing();
    scene.update.registered();
    scene.says(firmware::OBJECT.name, "fw");
    scene.says(firmware::OBJECT.version, "1");
    scene.state(1);
    scene.act(|update, now, terms| update.resume(now, terms));
    assert_eq!(
        scene.next(),
        (SECOND * 30, vec![Action::Abandon, Action::AskPackage])
    );
    // What the device holds is given up before.
    assert_eq!(scene.found(), [Action::Request(Step::Reset)]);
    let actions = scene.ends(&Step::Reset, &Outcome::Done(Vec::new()));
    assert_eq!(actions, [Action::Request(scene.write())]);
}

#[test]
fn what_a_device_has_already_is_installed_if_it_is_the_package() {
    let mut fitting = scene(&firmware::OBJECT);
    fitting.says(firmware::OBJECT.version, "2");
    fitting.state(2);
    assert_eq!(fitting.assign("2", 1)[0], Action::Request(Step::Execute));
    let mut other = scene(&firmware::OBJECT);
    other.state(2);
    assert_eq!(other.assign("2", 1), [Action::AskPackage]);
    let mut unasked = scene(&firmware::OBJECT);
    assert_eq!(unasked.state(2), [], "nothing is assigned");
}

#[test]
fn a_result_of_the_attempt_before_is_none_of_this_one() {
    let mut scene = scene(&firmware::OBJECT);
    scene.result(4);
    scene.pushing();
    assert_eq!(scene.result(4), []);
    scene.state(1);
    assert!(
        scene
            .result(4)
            .contains(&failed("Firmware Update Result: CONNECTION_LOST"))
    );
}

#[test]
fn lost_software_packages_are_tried_again_like_firmware() {
    for (code, name) in [
        (50, "NOT_ENOUGH_STORAGE"),
        (52, "CONNECTION_LOST"),
        (53, "PACKAGE_CHECK_FAILURE"),
        (59, "UN_INSTALL_FAILURE"),
    ] {
        let mut scene = scene(&software::OBJECT);
        scene.installing();
        let text = format!("Software Update Result: {name}");
        assert_eq!(scene.result(code), [failed(&text)]);
        assert_eq!(scene.next(), (SECOND * 5, vec![Action::AskPackage]));
    }
    let mut scene = scene(&software::OBJECT);
    scene.installing();
    scene.result(54);
    assert_eq!(scene.update.poll_timeout(), None);
}

#[test]
fn software_that_cannot_be_removed_fails() {
    let mut scene = scene(&software::OBJECT);
    scene.state(4);
    assert_eq!(scene.assign("2", 1), [Action::Request(Step::Uninstall)]);
    let refused = scene.ends(
        &Step::Uninstall,
        &Outcome::Refused(Code::METHOD_NOT_ALLOWED),
    );
    assert_eq!(
        refused[0],
        failed("Uninstall command rejected: METHOD_NOT_ALLOWED(405)")
    );
}

#[test]
fn an_update_that_ended_unseen_is_reported_when_the_device_shows_it() {
    let mut scene = scene(&firmware::OBJECT);
    scene.result(1);
    let reported = scene.assign("1", 1);
    let text = "Firmware Update Result: UPDATE_SUCCESSFULLY".to_owned();
    assert_eq!(reported[0], Action::Report(Status::Updated, text));
    assert_eq!(scene.assign("1", 2), [], "once");
}

#[test]
fn another_profile_helps_where_the_one_before_had_no_way() {
    let mut scene = scene(&firmware::OBJECT);
    scene.says_number(Path::resource(5, 0, 9), 0);
    scene.assign("2", 1);
    let info = PackageInfo {
        id: PackageId(Uuid::nil()),
        title: String::new(),
        version: String::new(),
        file_name: String::new(),
    };
    scene.act(|update, now, terms| update.package_found(now, Ok(info), terms));
    let actions = scene.ends(&Step::Protocols, &Outcome::Done(vec![0]));
    assert_eq!(actions[0], failed("No package download address configured"));
    scene.settings.public_coap_base = "coap://h".to_owned();
    let actions = scene.act(|update, now, terms| update.reconsider(now, terms));
    assert_eq!(actions, [Action::AskPackage]);
}
