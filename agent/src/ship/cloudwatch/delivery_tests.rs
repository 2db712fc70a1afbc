use std::collections::VecDeque;

use super::*;

/// Answers as it was told, and remembers what it was asked.
#[derive(Default)]
struct Played {
    answers: VecDeque<(&'static str, Option<Class>)>,
    asked: Vec<&'static str>,
}

impl Played {
    fn answer(&mut self, asked: &'static str, action: Action) -> Result<(), Trouble> {
        self.asked.push(asked);
        let (expected, class) = self.answers.pop_front().expect("a call that was not expected");
        assert_eq!(asked, expected);
        class.map_or(Ok(()), |class| Err(Trouble { action, class, detail: String::new() }))
    }
}

impl Api for Played {
    async fn put_log_events(&mut self, _: &[Event]) -> Result<Rejected, Trouble> {
        self.answer("put", Action::PutLogEvents)
            .map(|()| Rejected { too_new_from: Some(2), ..Rejected::default() })
    }

    async fn create_log_stream(&mut self) -> Result<(), Trouble> {
        self.answer("stream", Action::CreateLogStream)
    }

    async fn create_log_group(&mut self) -> Result<(), Trouble> {
        self.answer("group", Action::CreateLogGroup)
    }

    async fn put_retention_policy(&mut self, days: i32) -> Result<(), Trouble> {
        assert_eq!(days, 30);
        self.answer("retention", Action::PutRetentionPolicy)
    }

    fn forget_credentials(&mut self) {
        self.asked.push("refresh");
    }
}

/// The outcome of three events, and the calls that were made.
fn played(
    may_create_group: bool,
    answers: &[(&'static str, Option<Class>)],
) -> (Result<usize, (Action, Class)>, Vec<&'static str>) {
    let target = Target { group: "g".to_owned(), stream: "s".to_owned(), may_create_group };
    let mut api = Played { answers: answers.iter().copied().collect(), asked: Vec::new() };
    let events = vec![Event { time_ms: 0, message: "x".to_owned() }; 3];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outcome = runtime.block_on(deliver(&mut api, &target, &events));
    assert!(api.answers.is_empty(), "not asked: {:?}", api.answers);
    (outcome.map_err(|trouble| (trouble.action, trouble.class)), api.asked)
}

const MISSING: Option<Class> = Some(Class::Missing);
const DENIED: Option<Class> = Some(Class::NotPermitted);
const EXISTS: Option<Class> = Some(Class::Done);
const REFUSED: Option<Class> = Some(Class::CredentialsRefused);

#[test]
fn a_batch_is_stored_and_what_was_rejected_of_it_counted() {
    assert_eq!(played(false, &[("put", None)]).0, Ok(1));
}

#[test]
fn a_missing_stream_is_made() {
    let (outcome, _) = played(false, &[("put", MISSING), ("stream", None), ("put", None)]);
    assert_eq!(outcome, Ok(1));
    let (outcome, _) = played(false, &[("put", MISSING), ("stream", EXISTS), ("put", None)]);
    assert_eq!(outcome, Ok(1), "another agent made it first");
}

#[test]
fn a_missing_group_is_made_only_when_that_is_allowed() {
    let (outcome, _) = played(false, &[("put", MISSING), ("stream", MISSING)]);
    assert_eq!(outcome, Err((Action::CreateLogStream, Class::Missing)));
    let made = [
        ("put", MISSING),
        ("stream", MISSING),
        ("group", None),
        ("retention", None),
        ("stream", None),
        ("put", None),
    ];
    assert_eq!(played(true, &made).0, Ok(1));
    let raced = made.map(|(call, answer)| (call, if call == "group" { EXISTS } else { answer }));
    assert_eq!(played(true, &raced).0, Ok(1), "another agent made it first");
}

#[test]
fn whatever_is_not_permitted_is_named() {
    assert_eq!(played(true, &[("put", DENIED)]).0, Err((Action::PutLogEvents, Class::NotPermitted)));
    let (outcome, _) = played(true, &[("put", MISSING), ("stream", DENIED)]);
    assert_eq!(outcome, Err((Action::CreateLogStream, Class::NotPermitted)));
    let (outcome, _) = played(true, &[("put", MISSING), ("stream", MISSING), ("group", DENIED)]);
    assert_eq!(outcome, Err((Action::CreateLogGroup, Class::NotPermitted)));
}

#[test]
fn a_group_that_keeps_its_events_forever_is_better_than_none() {
    let calls = [
        ("put", MISSING),
        ("stream", MISSING),
        ("group", None),
        ("retention", DENIED),
        ("stream", None),
        ("put", None),
    ];
    assert_eq!(played(true, &calls).0, Ok(1));
}

#[test]
fn credentials_that_are_refused_are_refreshed_once() {
    let (outcome, asked) = played(false, &[("put", REFUSED), ("put", None)]);
    assert_eq!((outcome, asked), (Ok(1), vec!["put", "refresh", "put"]));
    let (outcome, _) = played(false, &[("put", REFUSED), ("put", REFUSED)]);
    assert_eq!(outcome, Err((Action::PutLogEvents, Class::CredentialsRefused)));
}

#[test]
fn what_was_made_and_is_not_known_yet_is_waited_for_and_not_called_missing() {
    let (outcome, _) = played(false, &[("put", MISSING), ("stream", None), ("put", MISSING)]);
    assert_eq!(outcome, Err((Action::PutLogEvents, Class::Unavailable)));
}

#[test]
fn every_other_trouble_is_handed_on_at_once() {
    for class in [Class::Throttled, Class::Unavailable, Class::Invalid, Class::NoCredentials] {
        let (outcome, _) = played(true, &[("put", Some(class))]);
        assert_eq!(outcome, Err((Action::PutLogEvents, class)));
    }
}
