//! What AWS answers on a bad day, and that every line arrives once and in order all the same.

use std::{thread::sleep, time::Duration};

use lab::{
    aws::front::{Fault, Front, THROTTLED, UNAVAILABLE},
    wait,
};

use crate::{
    aws, lines,
    shipping::{Plan, Shipped, Shipping},
};

const GROUP: &str = "/test/agent";
const SOON: Duration = Duration::from_secs(60);

/// Ships a hundred lines in ten parts on that day; all of them have to be stored, once and in order.
#[track_caller]
fn everything_arrives(day: impl FnOnce(&Front), change: impl FnOnce(&mut Plan)) -> (Front, Shipped) {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    day(&front);
    let mut plan = Plan::new(GROUP, &front.url());
    change(&mut plan);
    let mut shipping = Shipping::start(&plan);
    for part in 0..10 {
        shipping.write(&lines(part * 10, 10));
        // So that there are several calls.
        sleep(Duration::from_millis(150));
    }
    wait::until("all lines to be stored", SOON, || moto.messages(GROUP, "lines").len() >= 100);
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (0, 0), "{}", shipped.errors);
    assert_eq!(moto.messages(GROUP, "lines"), lines(0, 100), "{}", shipped.errors);
    (front, shipped)
}

#[test]
fn on_a_good_day_everything_arrives_once_and_in_order_without_a_word() {
    let (front, shipped) = everything_arrives(|_| {}, |_| {});
    let operations: Vec<_> = front.seen().into_iter().map(|seen| seen.operation).collect();
    assert_eq!(operations[..3], ["PutLogEvents", "CreateLogStream", "PutLogEvents"]);
    assert!(operations.len() > 4, "several calls: {operations:?}");
    assert_eq!(shipped.errors, "");
}

#[test]
fn throttling_is_waited_out() {
    let (front, _) = everything_arrives(|front| front.next([THROTTLED, THROTTLED]), |_| {});
    assert_eq!(front.seen().iter().filter(|seen| seen.fault == Some(THROTTLED)).count(), 2);
}

#[test]
fn a_server_that_fails_and_connections_that_are_reset_are_asked_again() {
    let day =
        [Fault::Reset, UNAVAILABLE, Fault::Page(502), Fault::Reset, Fault::Error("InternalFailure", 500)];
    let count = day.len();
    let (front, _) = everything_arrives(|front| front.next(day), |_| {});
    assert_eq!(front.seen().iter().filter(|seen| seen.fault.is_some()).count(), count);
}

#[test]
fn an_answer_that_is_slow_is_waited_for_and_nothing_is_sent_twice() {
    let slow = Fault::Slow(Duration::from_secs(2));
    everything_arrives(|front| front.next([slow.clone(), slow]), |_| {});
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let stall = Fault::Stall(Duration::from_secs(20));
    let (front, _) =
        everything_arrives(|front| front.next([stall]), |plan| plan.patience = Duration::from_secs(1));
    assert!(front.seen().len() > 3, "asked again before the answer came");
}

#[test]
fn what_is_rejected_is_counted_and_said() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let mut shipping = Shipping::start(&Plan::new(GROUP, &front.url()));
    shipping.write(&lines(0, 1));
    wait::until("the stream", SOON, || moto.messages(GROUP, "lines").len() == 1);
    // Of ten, the first two are too old and the last three too new.
    front.next([Fault::Rejects(7, 2)]);
    shipping.write(&lines(1, 10));
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (5, 0));
    assert!(shipped.errors.contains("5 lines were rejected"), "{}", shipped.errors);
}

#[test]
fn a_call_that_is_wrong_for_good_costs_its_lines_and_no_others() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    front.next([Fault::Error("InvalidParameterException", 400)]);
    let mut shipping = Shipping::start(&Plan::new(GROUP, &front.url()));
    shipping.write(&lines(0, 3));
    wait::until("the first call", SOON, || front.seen().len() == 1);
    shipping.write(&lines(3, 3));
    wait::until("the others", SOON, || moto.messages(GROUP, "lines").len() == 3);
    let shipped = shipping.finish();
    assert_eq!(shipped.lost, 3, "{}", shipped.errors);
    assert_eq!(moto.messages(GROUP, "lines"), lines(3, 3));
    assert!(shipped.errors.contains("logs:PutLogEvents refuses the call for good"), "{}", shipped.errors);
}

/// The chain of an ECS task or an EKS pod: the container's credentials endpoint.
#[test]
fn a_session_that_expires_while_it_runs_is_replaced_by_the_next() {
    let sessions = Sessions::start();
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &front.url());
    plan.environment.retain(|(name, _)| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    plan.environment.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", sessions.url()));
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 5));
    wait::until("the first lines", SOON, || moto.messages(GROUP, "lines").len() == 5);
    front.expire("session-1");
    shipping.write(&lines(5, 5));
    wait::until("the others", SOON, || moto.messages(GROUP, "lines").len() == 10);
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.errors.as_str()), (0, ""));
    assert_eq!(moto.messages(GROUP, "lines"), lines(0, 10));
    let tokens: Vec<_> = front.seen().into_iter().filter_map(|seen| seen.token).collect();
    assert_eq!(tokens.first().map(String::as_str), Some("session-1"));
    assert_eq!(tokens.last().map(String::as_str), Some("session-2"));
}

#[test]
fn without_credentials_it_says_so_once_and_counts_what_is_lost() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &front.url());
    plan.environment.truncate(1);
    plan.last_calls = Duration::from_secs(2);
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 5));
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (5, 5));
    assert_eq!(shipped.errors.lines().count(), 1, "{}", shipped.errors);
    assert!(shipped.errors.contains("give the task or the instance a role"), "{}", shipped.errors);
    assert!(front.seen().is_empty());
}

/// Gives a new session each time it is asked.
struct Sessions(std::net::SocketAddr);

impl Sessions {
    fn start() -> Self {
        use lab::aws::http::Message;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listening on loopback");
        let address = listener.local_addr().expect("its address");
        // Ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in (1..).zip(listener.incoming().map_while(Result::ok)) {
                let mut answers = stream.try_clone().expect("a second handle");
                let Ok(Some(_)) = Message::read(&mut std::io::BufReader::new(stream)) else { continue };
                let body = format!(
                    r#"{{"AccessKeyId":"testing","SecretAccessKey":"testing","Token":"session-{number}","Expiration":"2099-01-01T00:00:00Z"}}"#
                );
                let headers = [
                    ("content-type", "application/json".to_owned()),
                    ("content-length", body.len().to_string()),
                    ("connection", "close".to_owned()),
                ];
                let answer = Message {
                    first: "HTTP/1.1 200 OK".to_owned(),
                    headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
                    body: body.into_bytes(),
                };
                let _nobody_waits = answer.write(&mut answers);
            }
        });
        Self(address)
    }

    fn url(&self) -> String {
        format!("http://{}/credentials", self.0)
    }
}
