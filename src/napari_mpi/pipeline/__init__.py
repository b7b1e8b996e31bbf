"""From an image to a denoised one: planes, scaling, adapting, filling, and back."""
