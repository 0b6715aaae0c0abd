//! The session as a table: inputs, then state, colour, actions and words.

use super::*;
use Action::{AllowProtected, BlockProtected, BringUp, Publish, TakeDown};

fn fault(severity: Severity) -> Input {
    let hint = Some("free some space".to_owned());
    Input::SystemFault(Fault { what: "failed to write `/etc/resolv.conf`".to_owned(), hint, severity })
}

fn denial() -> Input {
    let message = "Device does not meet security requirements".to_owned();
    Input::Blocked(Denial { message, hint: Some("switch the firewall on".to_owned()) })
}

/// Inputs before, the input, the actions it must give, the state after, and a part of the message.
type Row = (Vec<Input>, Input, Vec<Action>, State, &'static str);

fn check(gateways: &[&str], rows: Vec<Row>) {
    for (before, input, actions, state, part) in rows {
        let mut session = Session::new(gateways.iter().map(|name| (*name).to_owned()));
        for earlier in before.clone() {
            session.handle(earlier);
        }
        let case = format!("{before:?} then {input:?}");
        assert_eq!(session.handle(input), actions, "{case}");
        let view = session.view();
        assert_eq!(view.state, state, "{case}");
        assert!(view.message.contains(part), "{part} in {} after {case}", view.message);
        if session.is_blocking() {
            assert!(matches!(state, State::Blocked | State::Failed), "{case}");
            // a connection that could not be made blocks nothing, and does not say so
            let is_denied = view.message.ends_with("protected destinations are blocked");
            assert_eq!(is_denied, state == State::Blocked, "{}", view.message);
            assert!(view.hint.is_some(), "{case}");
        } else if state == State::Failed {
            assert!(
                view.message.ends_with("new connections to protected destinations are refused"),
                "{}",
                view.message
            );
            assert!(view.hint.is_some(), "{case}");
        }
    }
}

#[test]
fn one_gateway_goes_through_every_state() {
    use Input::*;
    let up = || vec![Start, TunnelProven(0)];
    check(
        &["hq"],
        vec![
            (vec![], Start, vec![BringUp, Publish], State::Connecting, "waiting for gateway `hq`"),
            (vec![], Up, vec![BringUp, Publish], State::Connecting, "waiting"),
            (vec![Start], Up, vec![], State::Connecting, "waiting"),
            (vec![Start], TunnelProven(0), vec![Publish], State::Connected, "gateway `hq` answers"),
            (up(), TunnelProven(0), vec![], State::Connected, "answers"),
            (up(), TunnelLost(0), vec![Publish], State::Failed, "`hq` stopped answering"),
            (up(), HandshakeTimeout(0), vec![Publish], State::Failed, "`hq` stopped answering"),
            (vec![Start], HandshakeTimeout(0), vec![Publish], State::Failed, "`hq` does not answer"),
            (vec![Start], TunnelLost(0), vec![], State::Connecting, "waiting"),
            (vec![Start, HandshakeTimeout(0)], TunnelProven(0), vec![Publish], State::Connected, "answers"),
            (up(), Down, vec![TakeDown, Publish], State::Disconnected, "Disconnected"),
            (vec![], Down, vec![], State::Disconnected, "Disconnected"),
            (vec![Start, Down], TunnelProven(0), vec![], State::Disconnected, "Disconnected"),
            (vec![Start, TunnelProven(0), Down], Up, vec![BringUp, Publish], State::Connecting, "waiting"),
            (up(), Stop, vec![TakeDown, Publish], State::Disconnected, "undone"),
            (vec![Start, Stop], Up, vec![], State::Disconnected, "undone"),
            (up(), TunnelLost(7), vec![], State::Connected, "answers"),
        ],
    );
}

#[test]
fn faults_and_denials_block_and_are_lifted() {
    use Input::*;
    let up = || vec![Start, TunnelProven(0)];
    check(
        &["hq"],
        vec![
            (up(), fault(Severity::Fatal), vec![BlockProtected, Publish], State::Failed, "resolv.conf"),
            (
                up(),
                fault(Severity::Impaired),
                vec![Publish],
                State::Degraded,
                "answers; failed to write `/etc/resolv.conf`",
            ),
            (vec![Start], fault(Severity::Impaired), vec![Publish], State::Connecting, "resolv.conf"),
            (
                vec![Start, TunnelProven(0), fault(Severity::Fatal)],
                SystemRecovered,
                vec![AllowProtected, Publish],
                State::Connected,
                "",
            ),
            (vec![Start, fault(Severity::Fatal)], TunnelProven(0), vec![], State::Failed, "resolv.conf"),
            (
                up(),
                denial(),
                vec![BlockProtected, Publish],
                State::Blocked,
                "Device does not meet security requirements",
            ),
            (vec![Start, denial()], fault(Severity::Fatal), vec![], State::Blocked, "security requirements"),
            (
                vec![Start, TunnelProven(0), denial()],
                Unblocked,
                vec![AllowProtected, Publish],
                State::Connected,
                "answers",
            ),
            (vec![Start, denial()], Down, vec![TakeDown, AllowProtected, Publish], State::Disconnected, ""),
            (
                vec![denial()],
                Up,
                vec![BlockProtected, BringUp, Publish],
                State::Blocked,
                "security requirements",
            ),
            (
                vec![Start, fault(Severity::Fatal), Down],
                Up,
                vec![BringUp, Publish],
                State::Connecting,
                "waiting",
            ),
        ],
    );
}

#[test]
fn several_gateways_are_connected_only_when_all_are_proven() {
    use Input::*;
    check(
        &["hq", "branch"],
        vec![
            (
                vec![Start],
                TunnelProven(0),
                vec![Publish],
                State::Degraded,
                "`hq` answers; gateway `branch` has not answered yet",
            ),
            (
                vec![Start, TunnelProven(0)],
                TunnelProven(1),
                vec![Publish],
                State::Connected,
                "`hq`, `branch` answers",
            ),
            (
                vec![Start, TunnelProven(0)],
                HandshakeTimeout(1),
                vec![Publish],
                State::Degraded,
                "`branch` does not answer",
            ),
            (
                vec![Start, TunnelProven(0), TunnelProven(1)],
                TunnelLost(0),
                vec![Publish],
                State::Degraded,
                "`hq` stopped answering",
            ),
            (
                vec![Start, HandshakeTimeout(0)],
                HandshakeTimeout(1),
                vec![Publish],
                State::Failed,
                "`hq`, `branch` does not answer",
            ),
            (
                vec![Start, TunnelProven(0), TunnelLost(0)],
                HandshakeTimeout(1),
                vec![Publish],
                State::Failed,
                "stopped answering and",
            ),
        ],
    );
}

#[test]
fn without_a_gateway_nothing_is_shown_as_connected() {
    let mut session = Session::new(Vec::new());
    session.handle(Input::Start);
    let view = session.view();
    assert_eq!((view.state, view.colour), (State::Failed, Colour::Red));
    assert!(view.hint.unwrap().contains("[[gateway]]"));
}

#[test]
fn colours_are_those_of_the_contract() {
    let colours = [
        State::Connected,
        State::Degraded,
        State::Connecting,
        State::Blocked,
        State::Failed,
        State::Disconnected,
    ]
    .map(colour);
    assert_eq!(colours, [Colour::Green, Colour::Yellow, Colour::Red, Colour::Red, Colour::Red, Colour::Gray]);
}

#[test]
fn a_reload_keeps_what_is_known_of_gateways_that_stay() {
    let mut session = Session::new(["hq".to_owned(), "lab".to_owned()]);
    for input in [Input::Start, Input::TunnelProven(0), Input::TunnelProven(1)] {
        session.handle(input);
    }
    session.set_gateways(vec![Some("hq".to_owned()), None, Some("dc".to_owned())]);
    assert_eq!(session.view().state, State::Degraded);
    assert!(session.view().message.contains("`dc` has not answered yet"), "{}", session.view().message);
    session.handle(Input::TunnelProven(1));
    session.handle(Input::TunnelProven(2));
    assert_eq!(session.view().state, State::Connected);
    assert!(!session.view().message.contains("lab"), "{}", session.view().message);
    session.set_gateways(vec![Some("hq".to_owned()), Some("lab".to_owned()), None]);
    assert!(session.view().message.contains("`lab` has not answered yet"), "{}", session.view().message);
}
