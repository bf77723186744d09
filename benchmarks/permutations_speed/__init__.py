"""What an update of a Plackett-Luce gradient costs, beside the published algorithm written plainly."""
