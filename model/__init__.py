"""What a person declares. `models` hands it on to the other rooms."""
