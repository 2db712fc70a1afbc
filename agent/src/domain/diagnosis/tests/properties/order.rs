//! The order in which things happen within a window does not matter, and neither does that of sources within a reading.

use super::*;

#[test]
fn the_order_of_sources_within_a_reading_does_not_matter() {
    for_every_story(|seed, draw| {
        let what = While::draw(draw);
        let mut reversed = what.clone();
        reversed.fates.reverse();
        let conclude = |what: &While| {
            let mut told = Told::new();
            told.tell(SECONDS, what);
            told.story.conclusions()
        };
        assert_eq!(conclude(&what), conclude(&reversed), "seed {seed}");
    });
}

/// Seconds whose order is changed: fewer than the two intervals after which trouble that is over is forgotten.
const SHUFFLED: usize = 18;

/// Codes that are about an order: who came before whom, and who is silent since when.
const ABOUT_TIME: [Code; 8] = [
    Code::SlowStart,
    Code::ProbesMissing,
    Code::ProbesStopped,
    Code::ProbesPartial,
    Code::ProbesWithdrawn,
    Code::ProbesOtherPort,
    Code::ClientsMissing,
    Code::AppNotAccepting,
];

#[test]
fn the_order_of_readings_within_a_window_does_not_matter() {
    let mut told = 0;
    for_every_story(|seed, draw| {
        let what = While::draw(draw);
        // What happens in each second; quiet ones in the end, so that all of it is old enough.
        let mut seconds: Vec<u64> = (1..=SHUFFLED as u64).collect();
        let conclude = |seconds: &[u64]| {
            let mut story = Told::new().story;
            // What is so meanwhile is so from before.
            story.pass(1, |story, _| (what.circumstance)(story));
            for second in seconds {
                story.pass(1, |story, _| what.happen(story, *second));
            }
            story.pass(3, |story, _| (what.circumstance)(story));
            let mut found: Vec<_> = story
                .findings()
                .into_iter()
                .filter(|finding| !ABOUT_TIME.contains(&finding.code))
                // What follows from absence has its severity.
                .filter(|finding| finding.code != Code::AllowanceExceeded)
                .map(|finding| (finding.key(), finding.severity, finding.confidence, finding.sources))
                .collect();
            found.sort_by_key(|(key, ..)| *key);
            found
        };
        let before = conclude(&seconds);
        told += usize::from(!before.is_empty());
        for _ in 0..3 {
            draw.shuffle(&mut seconds);
            assert_eq!(conclude(&seconds), before, "seed {seed}: {seconds:?}");
        }
    });
    assert!(told > 80, "only {told} stories said anything");
}
