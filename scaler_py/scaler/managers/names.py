"""Names of drivers, known without importing or looking for any."""

BUILT_IN = "baremetal_native"

# Drivers that exist, and the distribution that has each.
KNOWN = {
    BUILT_IN: "scaler-py",
    "aws_raw_ecs": "scaler-plugin-ecs",
    "aws_hpc": "scaler-plugin-batch",
    "orb_aws_ec2": "scaler-plugin-orb",
    "symphony": "scaler-plugin-symphony",
}
SHORT = {"native": BUILT_IN, "ecs": "aws_raw_ecs", "batch": "aws_hpc", "orb": "orb_aws_ec2"}


def full_name(name: str) -> str:
    """The name of a driver, of which short ones are accepted."""
    return SHORT.get(name, name)
