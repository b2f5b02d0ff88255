"""What can be done to studies, and to branches by one."""
