//! AWS is away for a while: what fits into the buffer arrives once, what does not is counted to the line.

use std::{thread::sleep, time::Duration};

use lab::{
    aws::front::{Fault, UNAVAILABLE},
    wait,
};

use crate::{
    aws, lines,
    shipping::{Plan, Shipping},
};

const GROUP: &str = "/test/agent";
const SOON: Duration = Duration::from_secs(90);

/// Length of an outage: 3 s, or with `LAB_LONG` 30 s as in production.
fn outage() -> Duration {
    Duration::from_secs(if std::env::var_os("LAB_LONG").is_some() { 30 } else { 3 })
}

#[test]
fn across_an_outage_within_the_buffer_nothing_is_lost_and_nothing_comes_twice() {
    for fault in [UNAVAILABLE, Fault::Reset] {
        let (moto, front) = aws();
        moto.create_group(GROUP);
        let mut shipping = Shipping::start(&Plan::new(GROUP, &front.url()));
        shipping.write(&lines(0, 100));
        wait::until("the first lines", SOON, || moto.messages(GROUP, "lines").len() == 100);
        front.every(Some(fault.clone()));
        // Lines go on through the whole outage.
        for part in 1..=30 {
            shipping.write(&lines(part * 100, 100));
            sleep(outage() / 30);
        }
        assert_eq!(moto.messages(GROUP, "lines").len(), 100, "nothing came through");
        front.every(None);
        shipping.write(&lines(3100, 100));
        wait::until("all lines", SOON, || moto.messages(GROUP, "lines").len() >= 3200);
        let shipped = shipping.finish();
        assert_eq!((shipped.lost, shipped.left), (0, 0), "{fault:?}: {}", shipped.errors);
        assert!(moto.messages(GROUP, "lines") == lines(0, 3200), "{fault:?}: in order, and none twice");
        assert!(shipped.errors.contains("works again; 0 lines lost"), "{fault:?}: {}", shipped.errors);
    }
}

#[test]
fn beyond_the_buffer_the_oldest_lines_are_lost_and_counted_to_the_line() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let all = lines(100_000, 20_000);
    let mut plan = Plan::new(GROUP, &front.url());
    // Each line is as long as the next, and 26 bytes are counted with it.
    let fit = 1_000;
    plan.buffer_bytes = fit * (all[0].len() + 26) + 13;
    front.every(Some(UNAVAILABLE));
    let mut shipping = Shipping::start(&plan);
    for part in all.chunks(1_000) {
        shipping.write(part);
        sleep(outage() / 20);
    }
    front.every(None);
    let shipped = shipping.finish();
    let stored = moto.messages(GROUP, "lines");
    assert_eq!(stored.len() as u64 + shipped.lost, all.len() as u64, "{}", shipped.errors);
    assert_eq!(shipped.left, 0);
    // What still was in the pipe when AWS came back may have come through beside what was kept.
    assert!((fit / 2..5 * fit).contains(&stored.len()), "{} stored", stored.len());
    assert_eq!(stored.last(), all.last(), "the youngest are kept");
    assert!(stored.is_sorted(), "in order");
}

#[test]
fn the_end_does_not_wait_longer_than_it_may_and_counts_what_is_left() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &front.url());
    plan.last_calls = Duration::from_secs(1);
    front.every(Some(Fault::Stall(Duration::from_secs(15))));
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 50));
    let began = std::time::Instant::now();
    let shipped = shipping.finish();
    assert!(began.elapsed() < Duration::from_secs(8) * wait::pace(), "{:?}", began.elapsed());
    assert_eq!((shipped.lost, shipped.left), (50, 50));
}

#[test]
fn the_end_flushes_what_waits_even_after_a_failure() {
    let (moto, front) = aws();
    moto.create_group(GROUP);
    front.next([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
    let mut shipping = Shipping::start(&Plan::new(GROUP, &front.url()));
    shipping.write(&lines(0, 50));
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (0, 0), "{}", shipped.errors);
    assert_eq!(moto.messages(GROUP, "lines"), lines(0, 50));
}

/// As many lines as many calls hold, while nothing is wrong and while nothing works.
#[test]
fn memory_is_bounded() {
    const BUFFER: usize = 4 << 20;
    const MAY_TAKE: u64 = 48 << 20;
    let (moto, front) = aws();
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &front.url());
    plan.buffer_bytes = BUFFER;
    front.every(Some(UNAVAILABLE));
    let mut shipping = Shipping::start(&plan);
    // Sixteen times what it may keep.
    let line = "x".repeat(1_000);
    let part = vec![line; 1_024];
    (0..64).for_each(|_| shipping.write(&part));
    front.every(None);
    let shipped = shipping.finish();
    let stored = moto.messages(GROUP, "lines").len() as u64;
    assert_eq!(stored + shipped.lost, 65_536, "{}", shipped.errors);
    assert!(shipped.peak_bytes < MAY_TAKE, "{} bytes at its peak", shipped.peak_bytes);
    eprintln!("peak of resident memory: {} KiB, {stored} of 65536 lines stored", shipped.peak_bytes / 1024);
}
