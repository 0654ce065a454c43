//! The physical functions of SR-IOV, from sysfs: rtnetlink lists a physical function's virtual ones without their devices.

use std::fs;
use std::path::Path;

/// Devices of the PCI bus, the same in every network namespace.
const DEVICES: &str = "/sys/bus/pci/devices";

/// The PCI address of the physical function of a virtual one; `None` for other devices, and without sysfs.
pub(super) fn physical_function(address: &str) -> Option<Box<str>> {
    function_in(Path::new(DEVICES), address)
}

fn function_in(devices: &Path, address: &str) -> Option<Box<str>> {
    // The kernel's name of a device is one component of a path.
    if address.contains('/') || address.starts_with('.') {
        return None;
    }
    // A link to the directory of the other device: `../0000:3b:00.0`.
    let target = fs::read_link(devices.join(address).join("physfn")).ok()?;
    Some(target.file_name()?.to_str()?.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn virtual_function_leads_to_physical_one() {
        let devices = tempfile::tempdir().unwrap();
        let devices = devices.path();
        let virtual_one = devices.join("0000:3b:02.1");
        fs::create_dir(devices.join("0000:3b:00.0")).unwrap();
        fs::create_dir(&virtual_one).unwrap();
        symlink("../0000:3b:00.0", virtual_one.join("physfn")).unwrap();
        let found = ["0000:3b:02.1", "0000:3b:00.0", "0000:3b:02.2", "../devices/0000:3b:02.1", ".."]
            .map(|address| function_in(devices, address));
        assert_eq!(found, [Some("0000:3b:00.0".into()), None, None, None, None]);
    }
}
