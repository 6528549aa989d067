//! The regions of a network: a short list of names, so that what is summed up per region stays bounded.

use std::sync::Arc;

/// The regions of a network that names none of its own.
pub const DEFAULT_REGIONS: &str = "local,us-east,us-west,us-central,ca-central,sa-east,eu-west,eu-central,eu-north,\
    eu-south,me-central,af-south,ap-south,ap-southeast,ap-northeast,ap-east,au-east";

/// Regions that a network may have.
pub const REGIONS_MAX: usize = 64;

/// Longest name of a region, bytes.
const NAME_MAX: usize = 32;

/// The list. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions(Arc<[String]>);

/// A region that is not in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no region {region:?} in this network; choose one of: {}", regions.0.join(", "))]
pub struct UnlistedRegion {
    region: String,
    regions: Regions,
}

impl UnlistedRegion {
    /// The regions that there are.
    pub fn regions(&self) -> Vec<String> {
        self.regions.0.to_vec()
    }
}

impl Regions {
    /// A list of names.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(names: Vec<String>) -> Result<Self, String> {
        if !(1..=REGIONS_MAX).contains(&names.len()) {
            return Err(format!("give 1 to {REGIONS_MAX} regions"));
        }
        for (at, name) in names.iter().enumerate() {
            if !is_name(name) {
                return Err(format!(
                    "{name:?} is not the name of a region: a to z, 0 to 9 and - inside, at most {NAME_MAX}"
                ));
            }
            if names[..at].contains(name) {
                return Err(format!("{name:?} is there twice"));
            }
        }
        Ok(Self(names.into()))
    }

    /// Whether a node may be put in this region.
    ///
    /// # Errors
    /// [`UnlistedRegion`], which names the list.
    pub fn check(&self, region: &str) -> Result<(), UnlistedRegion> {
        match self.0.iter().any(|name| name == region) {
            true => Ok(()),
            false => Err(UnlistedRegion {
                region: region.chars().take(NAME_MAX).collect(),
                regions: self.clone(),
            }),
        }
    }

    /// The names, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self(DEFAULT_REGIONS.split(',').map(str::to_owned).collect())
    }
}

/// `[a-z0-9][a-z0-9-]{0,31}`.
fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_MAX
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|c| plain(c) || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Result<Regions, String> {
        Regions::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_list_is_short_and_its_names_are_plain() {
        let default: Vec<String> = Regions::default().iter().map(str::to_owned).collect();
        assert!(Regions::new(default).is_ok());
        assert!(list(&["a", "0-b", &"x".repeat(32)]).is_ok());
        let long = "x".repeat(33);
        for bad in ["", "-a", "A", "a_b", "eu west", "é", "a\nb", &long] {
            assert!(list(&[bad]).is_err(), "{bad:?}");
        }
        assert!(list(&[]).is_err());
        assert!(list(&["a", "b", "a"]).is_err());
        let many: Vec<String> = (0..=REGIONS_MAX).map(|n| n.to_string()).collect();
        assert!(Regions::new(many[..REGIONS_MAX].to_vec()).is_ok());
        assert!(Regions::new(many).is_err());
    }

    #[test]
    fn who_is_refused_learns_the_list() {
        let regions = list(&["eu-west", "us-east"]).expect("a list");
        assert_eq!(regions.check("us-east"), Ok(()));
        let refused = regions.check("mars").expect_err("not in the list");
        assert!(refused.to_string().contains("eu-west, us-east"));
    }
}
