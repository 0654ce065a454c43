//! Any file in the CNI cache names one pod and one namespace, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netns_agent::owner::cni::result::parse;

fuzz_target!(|content: &[u8]| match parse(content) {
    Ok(attachment) => {
        assert!(!attachment.pod.namespace.is_empty() && !attachment.pod.name.is_empty());
        assert!(attachment.netns.is_none_or(|name| !name.as_bytes().is_empty() && !name.as_bytes().contains(&b'/')));
        assert!(!attachment.interface.as_bytes().is_empty());
        assert!(attachment.network.is_none_or(|network| !network.is_empty()));
        // What every namespace has tells none apart.
        assert!(attachment.addresses.iter().all(|address| !address.is_loopback() && !address.is_unspecified()));
        assert!(attachment.macs.iter().all(|mac| mac.as_bytes().iter().any(|byte| *byte != 0)));
    }
    Err(refusal) => assert!(refusal.to_string().len() < 500),
});
