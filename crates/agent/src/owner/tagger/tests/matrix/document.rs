//! The table of plugins in `docs/identity.md`, from the fixtures.

use super::*;

/// Lines around the table.
const BEFORE: &str = "<!-- Written by `UPDATE_DOCS=1 cargo test -p netns-agent --lib matrix::`. -->\n\n";
const AFTER: &str = "\n<!-- End of the table. -->";

/// Evidence of a file besides the name of the namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clue {
    Mac,
    Address,
    HostEnd,
}

impl Clue {
    const ALL: [Self; 3] = [Self::Mac, Self::Address, Self::HostEnd];

    /// A file without other evidence.
    fn alone(self, mut file: Attachment) -> Attachment {
        file.macs.retain(|_| self == Self::Mac);
        file.addresses.retain(|_| self == Self::Address);
        file.ends.retain(|_| self == Self::HostEnd);
        file
    }

    /// Whether this evidence alone finds both pods.
    fn proves(self, text: &str) -> bool {
        let run = Run { runtime: Runtime::CriDockerd, version: "1.1.0", libcni_1_2: false, api: false };
        let pods = PODS.map(|number| Neighbour::new(text, run, number));
        let files = pods.iter().flat_map(|pod| pod.files()).filter_map(|input| match input {
            Input::File(path, file) if file.interface == "eth0" => Some(Input::File(path, self.alone(file))),
            _ => None,
        });
        let interfaces = pods.iter().flat_map(|pod| pod.made.iter().map(added));
        let (_, reader) = after(files.chain(interfaces).chain([synced()]));
        let is_right = |pod: &Neighbour, one: &Interface| {
            reader.0[&one.id]
                .owner
                .as_ref()
                .and_then(|owner| owner.pod())
                .is_some_and(|owned| owned.name == name(pod.number))
        };
        pods.iter().all(|pod| pod.made.iter().all(|one| is_right(pod, one)))
    }
}

/// Whether a file names a namespace with a random name: always, or only by the field of libcni 1.2.
fn path(text: &str) -> &'static str {
    let names = |libcni_1_2| {
        let run = Run { runtime: Runtime::Containerd, version: "1.1.0", libcni_1_2, api: false };
        Neighbour::new(text, run, 5).files.iter().flatten().any(|file| file.netns.is_some())
    };
    match [false, true].map(names) {
        [true, _] => "yes",
        [false, true] => "libcni 1.2",
        [false, false] => "no",
    }
}

fn table() -> String {
    let mut table = "| plugin | path | MAC address | IP address | host end |\n|---|---|---|---|---|\n".to_owned();
    for text in fixture::texts() {
        let [mac, address, end] = Clue::ALL.map(|clue| if clue.proves(&text) { "yes" } else { "no" });
        let plugin = Fixture::of(&text, 5, "").plugin;
        table += &format!("| {plugin} | {} | {mac} | {address} | {end} |\n", path(&text));
    }
    table
}

/// The page has the table that the fixtures yield.
#[test]
fn page_has_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/identity.md");
    let page = std::fs::read_to_string(file).unwrap();
    let (before, rest) = page.split_once(BEFORE).unwrap();
    let (written, after) = rest.split_once(AFTER).unwrap();
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, [before, BEFORE, &table, AFTER, after].concat()).unwrap();
    } else {
        assert_eq!(written, table, "docs/identity.md is old: UPDATE_DOCS=1 cargo test -p netns-agent --lib matrix::");
    }
}
