"""GOD: general obstacle detection and drivable area on a lidar bird's-eye-view grid, a plug-in of mmdet3d on ADMLOps.

Imports ``admlops``, which never imports it.
"""
