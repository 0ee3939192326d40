//! Kernel settings of the host that prevent isolation, and the remedy for each.

use std::path::Path;

/// Setting below `/proc/sys`, the value that prevents namespaces, and the remedy.
const CHECKS: &[(&str, &str, &str)] = &[
    (
        "user/max_user_namespaces",
        "0",
        "user namespaces are disabled: `sysctl user.max_user_namespaces=15000`",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are limited to root: `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces: load deploy/apparmor/belljar-sandbox, or \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
];

/// The most common cause if no kernel setting is.
const FILTER: &str = "a system-call filter or a policy may forbid it: in a container use \
                      sandbox-image/seccomp/container.json and deploy/apparmor/belljar-sandbox";

/// What to change so that cells can have namespaces.
pub fn remedy(sysctls: &Path) -> &'static str {
    let prevents = |(name, value, _): &&(&str, &str, &str)| {
        let set = std::fs::read_to_string(sysctls.join(name)).unwrap_or_default();
        set.trim() == *value
    };
    CHECKS.iter().find(prevents).map_or(FILTER, |(_, _, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_prevents_namespaces_is_named() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        assert_eq!(remedy(folder.path()), FILTER);
        std::fs::create_dir(folder.path().join("user")).expect("it is ours");
        let setting = folder.path().join("user/max_user_namespaces");
        std::fs::write(&setting, "96365\n").expect("it is ours");
        assert_eq!(remedy(folder.path()), FILTER);
        std::fs::write(&setting, "0\n").expect("it is ours");
        assert!(remedy(folder.path()).ends_with("`sysctl user.max_user_namespaces=15000`"));
    }
}
